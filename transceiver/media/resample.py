"""Between the 8 kHz of telephones and the 24 kHz inside: a polyphase FIR filter with state.

Both ways use one low-pass filter: its pass band ends at 3.4 kHz, where that of telephony does, and
55 dB are reached at 4.6 kHz, the lowest image of 3.4 kHz. It delays by 1.5 ms each way.

And down to the 16 kHz that models of speech take, by the same kind of filter at 48 kHz, which both
rates divide: flat to 7 kHz, 55 dB from 9 kHz on, 1 ms.
"""

import numpy as np
from numpy.typing import NDArray

RATIO = 3
_PHASE_TAPS = 24
_TAPS = RATIO * _PHASE_TAPS  # Kaiser's estimate for 60 dB over 1.2 kHz at 24 kHz
_BETA = 5.65  # of the Kaiser window, for 60 dB

Samples = NDArray[np.float32]


def _low_pass(size: int = _TAPS) -> Samples:
    """The filter's impulse response, cut off at a sixth of its rate, with a gain of 1."""
    at = np.arange(size) - (size - 1) / 2
    taps = np.sinc(at / RATIO) * np.kaiser(size, _BETA)
    response: Samples = (taps / taps.sum()).astype(np.float32)
    return response


_FILTER = _low_pass()
# Column p makes the samples of phase p; rows run along the input, oldest first.
_UP = np.ascontiguousarray((RATIO * _FILTER).reshape(_PHASE_TAPS, RATIO)[::-1])
_DOWN = np.ascontiguousarray(_FILTER[::-1])
_WIDE_TAPS = 96


def _to_wideband() -> Samples:
    """Two columns: for the sample at the window's last but one, and for the one 1.5 steps later."""
    padded = np.pad(2 * _low_pass(_WIDE_TAPS), 2)
    lag = 2 * np.arange(_WIDE_TAPS // 2, -1, -1)
    return np.ascontiguousarray(np.stack((padded[lag], padded[lag + 3]), axis=1))


_WIDE = _to_wideband()


class _Resampler:
    """What both ways share: a window that slides over the input and its past.

    Args:
        taps: How much of the input each output sample is made of.
        step: By how much of the input the window moves.
    """

    def __init__(self, taps: int, step: int) -> None:
        self._taps = taps
        self._step = step
        self._past: Samples = np.zeros(taps - step, np.float32)

    def _windows(self, samples: NDArray[np.int16] | Samples) -> Samples:
        """A row for each position of the window; what was not used up stays for the next call."""
        line = np.concatenate((self._past, samples), dtype=np.float32)
        rows = (len(line) - self._taps) // self._step + 1
        if rows < 1:
            self._past = line
            return np.zeros((0, self._taps), np.float32)
        self._past = line[rows * self._step :].copy()
        width = line.itemsize
        return np.lib.stride_tricks.as_strided(
            line, (rows, self._taps), (self._step * width, width), writeable=False
        )


class Upsampler(_Resampler):
    """8 kHz to 24 kHz: three samples for each one."""

    def __init__(self) -> None:
        super().__init__(_PHASE_TAPS, 1)

    def __call__(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """The next samples, at 24 kHz."""
        return _rounded((self._windows(samples) @ _UP).reshape(-1))


class Downsampler(_Resampler):
    """24 kHz to 8 kHz: one sample for each three."""

    def __init__(self) -> None:
        super().__init__(_TAPS, RATIO)

    def __call__(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """The next samples, at 8 kHz."""
        return _rounded(self._windows(samples) @ _DOWN)


class WidebandDownsampler(_Resampler):
    """24 kHz to 16 kHz: two samples for each three."""

    def __init__(self) -> None:
        super().__init__(len(_WIDE), RATIO)

    def __call__(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """The next samples, at 16 kHz."""
        return _rounded((self._windows(samples) @ _WIDE).reshape(-1))


def _rounded(samples: Samples) -> NDArray[np.int16]:
    """To the nearest number of 16 bits."""
    rounded: NDArray[np.int16] = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
    return rounded
