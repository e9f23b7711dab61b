"""Changes how long speech lasts and not how high it sounds: whole pitch periods go or come.

Overlap-add at the distance where the signal is most like itself (WSOLA: Verhelst and Roelands, "An
overlap-add technique based on waveform similarity", ICASSP 1993). Where nothing repeats, nothing
is changed, unless it is too quiet to be heard or the caller is in a hurry.

Audio is 24 kHz, mono, in arrays of signed 16-bit samples.
"""

import math

import numpy as np
from numpy.typing import NDArray

SHORTEST, LONGEST = 60, 360  # samples of a period: 400 Hz down to 67 Hz
NEEDED = 2 * LONGEST  # samples that `shorten` looks at, and that `lengthen` wants to know of before

_WINDOW = 360  # samples that are compared
_COARSE = 4  # first search at 6 kHz
_ALIKE = 0.85  # correlation of what may be laid over another
_ALIKE_IN_HASTE = 0.5
_QUIET = 60.0  # effective value below which nobody hears what is done: -55 dB
_MERGE_WINDOW = 240
_FADE = 120  # samples: 5 ms

Pcm = NDArray[np.int16]
_Signal = NDArray[np.float32]
_RISES = [np.linspace(0, 1, size, endpoint=False, dtype=np.float32) for size in range(LONGEST + 1)]


def shorten(pcm: Pcm, most: int, *, haste: bool = False) -> Pcm | None:
    """Take a period, or with haste some, out of the beginning of what is to be played.

    Args:
        pcm: At least `NEEDED` samples.
        most: Samples that may go.
        haste: Whether it may be heard a little.

    Returns:
        The rest; None when there is no place for it.
    """
    longest = min(most, LONGEST)
    if len(pcm) < NEEDED or longest < SHORTEST:
        return None
    signal = pcm[:NEEDED].astype(np.float32)
    lag, alike = _search(signal, signal[:_WINDOW], SHORTEST, longest)
    if not _allowed(signal, alike, haste=haste):
        return None
    if haste:
        # The longest of its multiples is as much alike and brings more.
        lag *= longest // lag
    joint = _blend(signal[:lag], signal[lag : 2 * lag])
    return np.concatenate((joint, pcm[2 * lag :]))


def lengthen(past: Pcm, pcm: Pcm) -> Pcm | None:
    """Play the last period once more, before what is to be played.

    Args:
        past: What was played last, at least `NEEDED` samples.
        pcm: What follows, at least `LONGEST` samples.

    Returns:
        What is to be played now; None when there is no place for it.
    """
    if len(past) < NEEDED or len(pcm) < _WINDOW:
        return None
    signal = np.concatenate((past[-LONGEST:], pcm[:_WINDOW])).astype(np.float32)
    # Backwards in the signal, so that the distance is that from the end of the past.
    lag, alike = _search(signal[::-1], signal[: -_WINDOW - 1 : -1], SHORTEST, LONGEST)
    if not _allowed(signal, alike, haste=False):
        return None
    joint = _blend(signal[LONGEST : LONGEST + lag], signal[LONGEST - lag : LONGEST])
    return np.concatenate((joint, pcm))


def merge(past: Pcm, pcm: Pcm) -> Pcm:
    """Let audio go on after some that only stood for it.

    Args:
        past: What was played last, at least `NEEDED` samples.
        pcm: What is to follow.

    Returns:
        That, from where it fits to the period of the past, faded in over what that would have
        gone on with; at most `LONGEST` samples shorter.
    """
    if len(past) < NEEDED or len(pcm) < _MERGE_WINDOW:
        return pcm
    before = past[-NEEDED:].astype(np.float32)[::-1]
    lag, alike = _search(before, before[:_WINDOW], SHORTEST, LONGEST)
    if alike < _ALIKE_IN_HASTE:
        lag = LONGEST
    ahead = np.resize(past[-lag:], _MERGE_WINDOW).astype(np.float32)
    signal = pcm[: LONGEST + _MERGE_WINDOW].astype(np.float32)
    start, alike = _search(signal, ahead, 0, min(LONGEST, len(signal) - _MERGE_WINDOW))
    if alike < _ALIKE_IN_HASTE:
        start = 0
    joint = _blend(ahead[:_FADE], signal[start : start + _FADE])
    return np.concatenate((joint, pcm[start + _FADE :]))


def _allowed(signal: _Signal, alike: float, *, haste: bool) -> bool:
    """Whether a change will not be heard."""
    if alike > (_ALIKE_IN_HASTE if haste else _ALIKE):
        return True
    return math.sqrt(float(signal @ signal) / len(signal)) < _QUIET


def _blend(first: _Signal, second: _Signal) -> Pcm:
    """From one to the other, both of the same length up to `LONGEST`."""
    rise = _RISES[len(first)]
    return np.asarray(first + (second - first) * rise, np.int16)


def _search(signal: _Signal, pattern: _Signal, nearest: int, furthest: int) -> tuple[int, float]:
    """Where in a signal a pattern is found.

    Args:
        signal: At least as long as the pattern and the furthest place together.
        pattern: What to look for.
        nearest: First place to look at.
        furthest: Last place to look at.

    Returns:
        The place, and how alike they are there, up to 1.
    """
    places = _likeness(_thin(signal[nearest : furthest + len(pattern)]), _thin(pattern))
    around = nearest + _COARSE * int(np.argmax(places))
    first = max(nearest, around - _COARSE)
    last = min(furthest, around + _COARSE)
    near = _likeness(signal[first : last + len(pattern)], pattern)
    best = int(np.argmax(near))
    return first + best, float(near[best])


def _thin(signal: _Signal) -> _Signal:
    """A quarter of the samples, each the sum of four."""
    whole = len(signal) // _COARSE * _COARSE
    thin: _Signal = signal[:whole].reshape(-1, _COARSE).sum(axis=1)
    return thin


def _likeness(signal: _Signal, pattern: _Signal) -> _Signal:
    """The correlation of a pattern with each place of a signal."""
    size = len(pattern)
    products = np.correlate(signal, pattern, "valid")
    sums = np.concatenate(([0.0], np.cumsum(np.square(signal, dtype=np.float64))))
    energies = (sums[size:] - sums[:-size]) * float(pattern @ pattern)
    return (products / np.sqrt(energies + 1.0)).astype(np.float32)
