"""Concealment for codecs without one of their own, in the way of G.711, appendix I.

The last pitch period goes on, and fades. When sound comes again, it is faded in over what would
have gone on.
"""

import numpy as np
from numpy.typing import NDArray

_LONGEST = 360  # samples of a pitch period at 24 kHz: 67 Hz
_SHORTEST = 120  # 200 Hz and above: what repeats faster repeats at this length too
_MATCH = 480  # samples that are compared with what came a period before
_HISTORY = _LONGEST + _MATCH
_BLEND = 96  # 4 ms: fade from one to the other
_HOLD, _FADE = 240, 1_200  # full loudness for 10 ms, then down to nothing in 50 ms

Pcm = NDArray[np.int16]
_RISE = np.linspace(0, 1, _BLEND, endpoint=False, dtype=np.float32)


class Extrapolator:
    """Remembers the end of a stream, and can go on with it."""

    def __init__(self) -> None:
        self._past: Pcm = np.zeros(_HISTORY, np.int16)
        self._period: NDArray[np.float32] | None = None
        self._made = 0

    def append(self, pcm: Pcm) -> Pcm:
        """Take the next samples of the stream.

        Returns:
            The samples, after a concealment faded in.
        """
        if self._period is not None:
            overlap = min(_BLEND, len(pcm))
            ahead = self._next(overlap)
            rise = _RISE[:overlap]
            pcm = pcm.copy()
            pcm[:overlap] = (ahead * (1 - rise) + pcm[:overlap] * rise).astype(np.int16)
            self._period = None
        self._past = np.concatenate((self._past, pcm))[-_HISTORY:]
        return pcm

    def extrapolate(self, samples: int) -> Pcm:
        """So many samples in place of some that were lost."""
        if self._period is None:
            self._period = self._last_period()
            self._made = 0
        return self._next(samples).astype(np.int16)

    def _next(self, samples: int) -> NDArray[np.float32]:
        """The next of the repeated period, louder or softer as long as it has gone on."""
        assert self._period is not None  # noqa: S101  # both callers have seen to it
        at = self._made + np.arange(samples)
        self._made += samples
        gain = np.clip(1 - (at - _HOLD) / _FADE, 0, 1).astype(np.float32)
        return self._period[at % len(self._period)] * gain

    def _last_period(self) -> NDArray[np.float32]:
        """The period that goes on without a step: its end leads over to its beginning."""
        past = self._past.astype(np.float32)
        lag = _pitch(past)
        period = past[-lag:].copy()
        # The last samples lead over to those before the period, which is where it begins anew.
        blend = min(_BLEND, lag // 2)
        rise = np.linspace(0, 1, blend, endpoint=False, dtype=np.float32)
        before = past[-lag - blend : -lag]
        period[-blend:] = period[-blend:] * (1 - rise) + before * rise
        return period


def _pitch(past: NDArray[np.float32]) -> int:
    """The distance at which the last samples are most like earlier ones."""
    last = past[-_MATCH:]
    products = np.correlate(past[: len(past) - _SHORTEST], last, "valid")
    squares = np.concatenate(([0.0], np.cumsum(past.astype(np.float64) ** 2)))
    energies = (squares[_MATCH:] - squares[:-_MATCH])[: len(products)]
    likeness = products / np.sqrt(energies + 1.0)
    return len(past) - _MATCH - int(np.argmax(likeness))
