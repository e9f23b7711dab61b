"""The level of sound, and pieces of speech that fit together: even, without clicks. Pure."""

import numpy as np
from numpy.typing import NDArray

RATE = 24_000
Samples = NDArray[np.float32]

TARGET = 0.09  # of full scale, root of the mean square while somebody speaks: -21 dB
_MAX_GAIN = 4.0
_PEAK = 0.89  # of full scale: -1 dB
_FRAME = RATE // 100
_QUIET = 0.02  # of the loudest frame (-34 dB): below it nobody speaks
_LEAD_MS, _TAIL_MS, _FADE_MS = 20, 60, 5


def level_of(pcm: bytes) -> float:
    """The root of the mean square, of full scale; 0 for no sound."""
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2")
    if not len(samples):
        return 0.0
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) / 32768


def evened(samples: Samples, pause_ms: int) -> bytes:
    """A piece of speech as PCM16: at the level of all others, with one pause after it.

    Silence around it is cut off but for what lets sounds begin and fade, and its ends are silent.
    """
    frames = len(samples) // _FRAME
    if not frames:
        return b""
    power = np.square(samples[: frames * _FRAME].reshape(frames, _FRAME)).mean(axis=1)
    levels = np.sqrt(power)
    spoken = np.flatnonzero(levels > _QUIET * levels.max())
    if not len(spoken) or levels.max() < 1e-5:
        return b""
    start = max(0, spoken[0] * _FRAME - _LEAD_MS * RATE // 1000)
    end = min(len(samples), (spoken[-1] + 1) * _FRAME + _TAIL_MS * RATE // 1000)
    active = float(np.sqrt(power[spoken].mean()))
    gain = min(TARGET / active, _MAX_GAIN, _PEAK / float(np.abs(samples).max()))
    piece = samples[start:end] * np.float32(gain)
    fade = np.linspace(0, 1, min(_FADE_MS * RATE // 1000, len(piece) // 2), dtype=np.float32)
    piece[: len(fade)] *= fade
    piece[len(piece) - len(fade) :] *= fade[::-1]
    pcm: bytes = np.rint(piece * 32767).astype("<i2").tobytes()
    return pcm + bytes(2 * (pause_ms * RATE // 1000))


def at_rate(samples: Samples, rate: int) -> Samples:
    """A whole piece of sound at 24 kHz, from another rate."""
    if rate == RATE or not len(samples):
        return samples
    size = round(len(samples) * RATE / rate)
    spectrum = np.fft.rfft(samples)
    bins = size // 2 + 1
    spectrum = np.pad(spectrum, (0, max(0, bins - len(spectrum))))[:bins]
    return (np.fft.irfft(spectrum, size) * (size / len(samples))).astype(np.float32)
