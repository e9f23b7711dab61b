from collections.abc import Sequence

import pytest

from relay.errors import ConfigError
from transceiver.agent.speech.recogniser import recogniser
from transceiver.agent.speech.sphinx import Sphinx


class Parrot:
    """A recogniser that always hears the same."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def transcribe(self, pcm: bytes, *, phrases: Sequence[str] = ()) -> str:
        return f"{len(pcm)} bytes, {len(phrases)} phrases"


async def test_another_recogniser_takes_the_place_of_ours() -> None:
    found = recogniser(f"{__name__}:Parrot")
    await found.open()
    assert await found.transcribe(b"12", phrases=["a"]) == "2 bytes, 1 phrases"
    await found.close()


def test_ours_is_the_usual_one() -> None:
    assert isinstance(recogniser(), Sphinx)


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("", "module:attribute"),
        ("json", "module:attribute"),
        ("nowhere:X", "no recogniser nowhere:X"),
        ("json:X", "no recogniser json:X"),
        ("builtins:dict", "needs open, close and transcribe"),
    ],
)
def test_what_is_none_is_named(where: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        recogniser(where)
