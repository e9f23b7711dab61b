import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from tests.transceiver.agent.speech.sounds import engine
from transceiver.agent.speech.errors import MissingPartError, PoolBusyError
from transceiver.agent.speech.levels import RATE, TARGET, Samples, level_of
from transceiver.agent.speech.voice import MAX_WAITING, Voice

Until = Callable[[Callable[[], Any]], Awaitable[None]]

TEXT = "It is 7:05 PM. Your timer is set. You can ask me for the date, or say help."


async def sound(by: Voice, text: str, **more: object) -> list[bytes]:
    return [piece async for piece in by.stream(text, **more)]  # type: ignore[arg-type]


async def test_a_text_is_said_by_sentences_at_one_level_without_clicks() -> None:
    voice = Voice()
    await voice.open()
    pieces = await sound(voice, TEXT)
    assert len(pieces) == 3
    for piece in pieces:
        samples = np.frombuffer(piece, "<i2").astype(int)
        assert samples[0] == samples[-1] == 0
        spoken = piece[: -2 * RATE * 220 // 1000]
        assert 20 * np.log10(level_of(spoken) / TARGET) == pytest.approx(0, abs=3)
    whole = np.frombuffer(b"".join(pieces), "<i2").astype(int)
    joints = np.cumsum([len(piece) // 2 for piece in pieces])[:-1]
    assert all(np.abs(np.diff(whole[at - 50 : at + 50])).max() < 500 for at in joints)
    await voice.close()


async def test_voices_are_listed_and_foreign_names_stand_for_the_first() -> None:
    voice = Voice()
    assert voice.voices == ("heart", "espeak", "espeak-gb")
    usual = await sound(voice, "Yes.")
    assert await sound(voice, "Yes.", voice="alloy") == usual
    assert await sound(voice, "Yes.", voice="espeak") != usual
    await voice.close()


async def test_speed_is_kept_within_bounds() -> None:
    voice = Voice()
    slowest, slower = await sound(voice, "Yes.", speed=0.25), await sound(voice, "Yes.", speed=0)
    assert slowest == slower
    assert len(slowest[0]) > 1.5 * len((await sound(voice, "Yes."))[0])
    await voice.close()


async def test_nothing_to_say_makes_no_sound() -> None:
    voice = Voice()
    assert await sound(voice, " \N{GRINNING FACE} ...") == []
    await voice.close()


class Slow:
    """An engine that makes sound when it is let."""

    voices: tuple[str, ...] = ("slow",)

    def __init__(self) -> None:
        self.said: list[str] = []
        self.go = threading.Semaphore(0)

    def say(self, text: str, voice: str, speed: float) -> Samples:
        del voice, speed
        self.said.append(text)
        self.go.acquire()
        return np.full(RATE // 10, 0.1, np.float32)


async def test_the_next_piece_is_made_while_one_is_used_and_no_more(until: Until) -> None:
    slow = Slow()
    voice = Voice([slow], threads=2)
    stream = voice.stream("One. Two. Three. Four.")
    slow.go.release(4)
    assert await anext(stream)
    await until(lambda: len(slow.said) == 2)
    await stream.aclose()
    assert slow.said == ["One.", "Two."]
    await voice.close()


async def test_what_nobody_waits_for_any_more_is_not_made(until: Until) -> None:
    slow = Slow()
    voice = Voice([slow], threads=1)
    stream = voice.stream("One. Two.")
    first = asyncio.ensure_future(anext(stream))
    await until(lambda: slow.said == ["One."])
    other = asyncio.ensure_future(sound(voice, "Three."))
    await asyncio.sleep(0)
    slow.go.release()
    await first
    await stream.aclose()  # its next piece waits behind the other stream's
    slow.go.release(3)
    await other
    await sound(voice, "Four.")
    assert slow.said == ["One.", "Three.", "Four."]
    await voice.close()


async def test_the_event_loop_goes_on_while_sound_is_made() -> None:
    slow = Slow()
    voice = Voice([slow], threads=1)
    making = asyncio.ensure_future(sound(voice, "One."))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not making.done()
    slow.go.release()
    assert len(await making) == 1
    await voice.close()


async def test_what_waits_is_bounded() -> None:
    slow = Slow()
    voice = Voice([slow], threads=1)
    waiting = [asyncio.ensure_future(sound(voice, "One.")) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(PoolBusyError):
        await sound(voice, "One.")
    slow.go.release(MAX_WAITING)
    await asyncio.gather(*waiting)
    slow.go.release()
    assert len(await sound(voice, "One.")) == 1
    await voice.close()


async def test_sessions_share_a_voice() -> None:
    voice = Voice([engine("hibari")], threads=2)
    alone = await sound(voice, TEXT)
    together = await asyncio.gather(*(sound(voice, TEXT) for _ in range(4)))
    assert all(each == alone for each in together)
    await voice.close()


def test_without_any_engine_it_says_what_to_install() -> None:
    with pytest.raises(MissingPartError, match="espeak-ng"):
        Voice([])
