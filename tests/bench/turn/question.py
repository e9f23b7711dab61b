"""A spoken question as a microphone gives it, and where speech begins and ends in sound. Pure."""

import numpy as np

from tests.bench.errors import BenchError
from transceiver.agent.speech.engines import engines
from transceiver.agent.speech.levels import evened
from transceiver.media.codec import FRAME_BYTES

TEXT = "what time is it"
#: Of 16 bits: samples above it are speech; the quiet of a room is far below it.
LOUD = 800
_QUIET = 8.0  # root of the mean square of that quiet, of 16 bits: -72 dB


def spoken(text: str = TEXT) -> list[bytes]:
    """The question, in frames of 20 ms.

    Raises:
        BenchError: No voice is installed.
    """
    voices = engines()
    if not voices:
        raise BenchError("there is no voice that asks: make setup-test installs one")
    said = evened(voices[0].say(text, voices[0].voices[0], 1.0), 0)
    samples = np.frombuffer(said + bytes(-len(said) % FRAME_BYTES), "<i2")
    noise = np.random.default_rng(1).normal(0, _QUIET, len(samples))
    sound = np.clip(samples + np.rint(noise), -32768, 32767).astype("<i2").tobytes()
    return [sound[at : at + FRAME_BYTES] for at in range(0, len(sound), FRAME_BYTES)]


def quiet(seed: int) -> bytes:
    """20 ms in which nobody speaks."""
    noise = np.random.default_rng(seed).normal(0, _QUIET, FRAME_BYTES // 2)
    return bytes(np.rint(noise).astype("<i2").tobytes())


def first_loud(sound: bytes | bytearray, start: int = 0) -> int | None:
    """The first byte of the first sample of speech at or after a byte; None without one."""
    found = _loud(sound[start : len(sound) & ~1])
    return start + 2 * int(found[0]) if len(found) else None


def is_loud(sound: bytes) -> bool:
    """Whether somebody speaks in it."""
    return len(_loud(sound)) > 0


def _loud(sound: bytes | bytearray) -> "np.typing.NDArray[np.intp]":
    samples = np.frombuffer(bytes(sound), "<i2").astype(np.int32)
    return np.flatnonzero(np.abs(samples) >= LOUD)
