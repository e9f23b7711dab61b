"""Comfort noise has the level and the spectrum that its sender asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from transceiver.media.errors import CodecError
from transceiver.media.noise import ComfortNoise


def heard(noise: ComfortNoise, payload: bytes, frames: int = 50) -> NDArray[np.float64]:
    pcm = noise.decode(payload) + b"".join(noise.conceal(480) for _ in range(frames - 1))
    return np.frombuffer(pcm, np.int16).astype(np.float64)


def spectrum(payload: bytes) -> NDArray[np.float64]:
    pcm = heard(ComfortNoise(), payload)
    found: NDArray[np.float64] = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return found


def decibels(pcm: NDArray[np.float64]) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(pcm**2)) / 32_767))


@pytest.mark.parametrize("level", [20, 40, 60, 0x80 | 40])
def test_it_is_as_loud_as_it_was(level: int) -> None:
    assert decibels(heard(ComfortNoise(), bytes((level,)))) == pytest.approx(
        -(level & 0x7F), abs=0.5
    )


def test_the_quietest_is_silence() -> None:
    assert not heard(ComfortNoise(), bytes((127,))).any()


def test_it_is_telephone_noise_of_the_colour_that_was_sent() -> None:
    white = spectrum(bytes((30,)))
    # A first coefficient below 127 makes a predictor that leaves low frequencies.
    low = spectrum(bytes((30, 127 - 100)))
    quarter = len(white) // 12  # 1 kHz
    assert white[4 * quarter + 10 :].max() < 0.01 * white[quarter : 3 * quarter].mean()
    assert low[:quarter].mean() > 3 * low[2 * quarter : 3 * quarter].mean()
    assert white[:quarter].mean() < 1.5 * white[2 * quarter : 3 * quarter].mean()


def test_it_goes_on_without_a_seam_and_with_any_length() -> None:
    noise = ComfortNoise()
    pcm = heard(noise, bytes((30,)), frames=70)  # around its period
    assert np.abs(np.diff(pcm)).max() < 6 * np.abs(np.diff(pcm)).mean()
    assert len(noise.conceal(7)) == 14


def test_it_is_a_decoder_of_silence() -> None:
    noise = ComfortNoise()
    assert noise.duration(b"\x20") == 480
    assert noise.is_silence(b"\x20")
    assert noise.carries(b"\x20") == 0
    assert noise.recover(b"\x20", 480) is None  # type: ignore[func-returns-value]
    with pytest.raises(CodecError, match="without a level"):
        noise.decode(b"")


@given(st.binary(min_size=1, max_size=60))
def test_any_payload_makes_noise(payload: bytes) -> None:
    assert len(ComfortNoise().decode(payload)) == 960
