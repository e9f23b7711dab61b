"""Comfort noise (RFC 3389): what a sender of G.711 says of its silence, and the sound of it.

A payload is a byte for the level and one for each reflection coefficient of the noise's spectrum.
The noise is made in the frequency domain, of one period with phases at random: so it has exactly
the level and spectrum that were asked for, and goes round without a seam.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from transceiver.media.errors import CodecError

_FRAME = 480  # samples at 24 kHz
_PERIOD = 16_384  # samples, 0.7 s: nobody hears a rhythm in that
_HIGHEST = _PERIOD // 6  # bins up to 4 kHz, half the sampling rate of G.711
_FULL_SCALE = 32_767.0
_MOST = 10  # coefficients that are used, as in G.711, appendix II; more are passed over
_KEPT = 64  # noises; each is 32 KiB


class ComfortNoise:
    """Makes the noise of one stream; a decoder like others."""

    def __init__(self) -> None:
        self._noise = _noise(bytes((127,)))
        self._at = 0

    def duration(self, payload: bytes) -> int:
        """A frame: how long it really lasts is known when somebody speaks again.

        Raises:
            CodecError: It is empty.
        """
        if not payload:
            raise CodecError("comfort noise without a level")
        return _FRAME

    def decode(self, payload: bytes) -> bytes:
        """The first frame of a noise.

        Raises:
            CodecError: As `duration` does.
        """
        self.duration(payload)
        self._noise = _noise(payload[: 1 + _MOST])
        return self.conceal(_FRAME)

    def conceal(self, samples: int) -> bytes:
        """The noise goes on."""
        places = np.arange(self._at, self._at + samples) % _PERIOD
        self._at = int(self._at + samples) % _PERIOD
        return self._noise[places].tobytes()

    def carries(self, payload: bytes) -> int:  # noqa: ARG002  # as in Decoder
        """Nothing: there is no more in it than the noise that it begins."""
        return 0

    def recover(self, payload: bytes, samples: int) -> None:  # noqa: ARG002  # as in Decoder
        """Nothing: there is no more in it than the noise that it begins."""
        return

    def is_silence(self, payload: bytes) -> bool:  # noqa: ARG002  # as in Decoder
        """Whether a packet announces silence: each does."""
        return True


@lru_cache(_KEPT)
def _noise(payload: bytes) -> NDArray[np.int16]:
    """A period of a noise, of RFC 3389's level (3.1) and coefficients (3.2)."""
    spectrum = np.zeros(_PERIOD // 2 + 1, np.complex128)
    turn = np.random.default_rng(1).random(_HIGHEST - 1)  # always the same
    angles = np.pi * np.arange(1, _HIGHEST) / _HIGHEST
    shape = 1 / np.abs(_polynomial(payload[1:], angles))
    spectrum[1:_HIGHEST] = shape * np.exp(2j * np.pi * turn)
    noise = np.fft.irfft(spectrum)
    loudness = _FULL_SCALE * 10 ** (-(payload[0] & 0x7F) / 20)
    noise *= loudness / np.sqrt(np.mean(noise**2))
    pcm: NDArray[np.int16] = np.clip(noise, -32_768, 32_767).astype(np.int16)
    return pcm


def _polynomial(coefficients: bytes, angles: NDArray[np.float64]) -> NDArray[np.complex128]:
    """The predictor of some reflection coefficients at some frequencies (Levinson's recursion)."""
    predictor = np.ones(1)
    for code in coefficients:
        reflection = (code - 127) / 128
        longer = np.append(predictor, 0.0)
        predictor = longer + reflection * longer[::-1]
    powers = np.exp(-1j * np.outer(np.arange(len(predictor)), angles))
    values: NDArray[np.complex128] = predictor @ powers
    # A coefficient of 1 has no stable filter: 255 is 1, and nobody has to send what he means.
    return np.where(np.abs(values) < 1e-3, 1e-3, values)
