"""Recorded questions, in the agent's own voice, which it understands best: PCM16 at 24 kHz."""

import wave
from functools import cache
from pathlib import Path

from transceiver.agent.speech.engines import Hibari
from transceiver.agent.speech.levels import RATE, evened


@cache
def _engine() -> Hibari:
    return Hibari()


def said(text: str) -> bytes:
    """A sentence, without silence around it."""
    return evened(_engine().say(text, _engine().voices[0], 1.0), 0)


def silence(seconds: float) -> bytes:
    """Silence, as long."""
    return bytes(2 * round(seconds * RATE))


def write(path: Path, samples: bytes) -> None:
    """Write samples as WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples)
