import asyncio

from transceiver.agent.foresight import LONGEST, Foresight, Words


class Scene:
    """Recognises at once, and knows what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.foresight = Foresight(self._recognise)

    def _recognise(self, sound: bytes) -> Words:
        self.asked.append(sound)

        async def understand() -> str:
            return f"{len(sound)} bytes"

        return asyncio.ensure_future(understand())

    def hear(self, pause: int | None, sound: bytes) -> None:
        self.foresight.watch(pause, lambda: sound)

    async def said(self, turn: bytes) -> str | None:
        words = self.foresight.words(turn)
        return await words if words is not None else None


async def test_a_turn_that_ends_with_its_pause_is_understood_by_then() -> None:
    scene = Scene()
    scene.hear(None, b"ab")
    scene.hear(100, b"abcd")
    scene.hear(100, b"abcdef")
    assert scene.asked == [b"abcd"], "a pause is looked at once"
    assert await scene.said(b"abcdefgh") == "4 bytes"


async def test_what_is_said_after_a_pause_counts() -> None:
    scene = Scene()
    scene.hear(100, b"abcd")
    scene.hear(None, b"abcdef")
    assert await scene.said(b"abcdefgh") is None
    scene.hear(200, b"abcdefgh")
    assert await scene.said(b"abcdefghij") == "8 bytes"


async def test_another_turn_is_not_what_was_understood() -> None:
    scene = Scene()
    scene.hear(100, b"abcd")
    assert await scene.said(b"bcd") is None


async def test_nobody_foresees_nothing_or_a_long_turn() -> None:
    scene = Scene()
    scene.hear(100, b"")
    scene.hear(200, bytes(LONGEST + 2))
    assert scene.asked == []
    assert await scene.said(bytes(LONGEST + 2)) is None
