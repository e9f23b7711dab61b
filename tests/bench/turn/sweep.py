"""A tone that rises steadily, so that its pitch says how far a listener has heard. Pure."""

import numpy as np
from numpy.typing import NDArray

from transceiver.media.codec import SAMPLE_RATE

Pcm = NDArray[np.int16]

_FROM, _RISE = 400.0, 1_000.0  # Hz, Hz a second: a hertz is a millisecond
_PEAK = 8_000  # of 16 bits
_WINDOW = 0.02  # seconds whose pitch is looked at
_POINTS = 1 << 15
_SILENT = 0.01  # of the tone's peak: below it a listener hears nothing, -40 dB


def sweep(seconds: float) -> bytes:
    """The tone, as PCM of 24 kHz."""
    at = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * (_FROM * at + _RISE * at * at / 2)
    return bytes(np.rint(_PEAK * np.sin(phase)).astype("<i2").tobytes())


def heard_ms(sound: Pcm, rate: int) -> float:
    """How much of the tone had been played in the middle of some sound, 20 ms or more of it.

    What a player makes up after the last packet keeps its pitch, so it does not count.
    """
    size = round(_WINDOW * rate)
    start = (len(sound) - size) // 2
    if start < 0:
        raise ValueError("no 20 ms of sound")
    piece = sound[start : start + size] * np.hanning(size)
    return (_pitch(piece, rate) - _FROM) / _RISE * 1000


def _pitch(piece: NDArray[np.float64], rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(piece, _POINTS))
    top = int(spectrum[1:-1].argmax()) + 1
    left, middle, right = np.log(spectrum[top - 1 : top + 2] + 1e-9)
    off = 0.5 * (left - right) / (left - 2 * middle + right)
    return float((top + off) * rate / _POINTS)


def is_silent(sound: Pcm) -> bool:
    """Whether nothing of the tone is heard in it."""
    return not len(sound) or int(np.abs(sound.astype(np.int32)).max()) < _SILENT * _PEAK
