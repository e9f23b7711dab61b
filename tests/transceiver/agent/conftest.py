"""An agent whose parts are simple, but for the protocol, the ear and the skills."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from relay.wire.endpoint import Endpoint
from transceiver.agent.parts import Parts
from transceiver.agent.service import AgentService
from transceiver.agent.skills import Skills
from transceiver.agent.speech.ear import Ear

MS = 48  # bytes of sound
LOUD = np.repeat(np.array([8000, -8000], "<i2"), 12).tobytes()  # a millisecond of 1 kHz
QUIET = bytes(MS)


def loudness(chunk: NDArray[np.int16]) -> float:
    """An activity detector for which what is loud is speech."""
    return float(np.abs(chunk).mean() > 500)


@dataclass
class Heard:
    """A recogniser that knows what it hears beforehand; an exception is raised."""

    words: list[str | Exception] = field(default_factory=list)
    sounds: list[bytes] = field(default_factory=list)

    async def transcribe(self, pcm: bytes, *, phrases: Sequence[str] = ()) -> str:
        del phrases
        self.sounds.append(pcm)
        said = self.words.pop(0) if self.words else ""
        if isinstance(said, Exception):
            raise said
        return said


class Beeps:
    """A voice that says 50 ms for each character."""

    async def stream(
        self, text: str, *, speed: float = 1.0, voice: str | None = None
    ) -> AsyncIterator[bytes]:
        del voice
        yield LOUD * int(50 * len(text) / speed)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def parts(heard: Heard) -> Parts:
    return Parts(lambda detection: Ear(detection, loudness), heard, Beeps(), Skills())


@pytest.fixture
async def service(parts: Parts) -> AsyncIterator[AgentService]:
    async with AgentService(Endpoint("127.0.0.1", 0), parts, capacity=3) as serving:
        yield serving
        assert not serving.faults.counters
