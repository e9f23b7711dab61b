import numpy as np
import pytest
from numpy.typing import NDArray

from transceiver.media.resample import RATIO, Downsampler, Upsampler, WidebandDownsampler


def tone(hertz: float, rate: int, seconds: float = 0.5) -> NDArray[np.int16]:
    at = np.arange(int(rate * seconds)) / rate
    return (10_000 * np.sin(2 * np.pi * hertz * at)).astype(np.int16)


def level(samples: NDArray[np.int16], against: float = 10_000 / np.sqrt(2)) -> float:
    """Decibels above that of the tone, without the filter's first milliseconds."""
    settled = samples[len(samples) // 5 :].astype(float)
    return float(20 * np.log10(np.sqrt(np.mean(settled**2)) / against + 1e-9))


@pytest.mark.parametrize("hertz", [100, 1000, 3000, 3400])
def test_speech_keeps_its_level_both_ways(hertz: float) -> None:
    assert abs(level(Upsampler()(tone(hertz, 8_000)))) < 0.1
    assert abs(level(Downsampler()(tone(hertz, 24_000)))) < 0.1


@pytest.mark.parametrize("hertz", [4600, 5500, 8000, 11_000])
def test_what_would_fold_into_speech_is_gone(hertz: float) -> None:
    assert level(Downsampler()(tone(hertz, 24_000))) < -55


@pytest.mark.parametrize("hertz", [300, 1000, 3400])
def test_there_are_no_images(hertz: float) -> None:
    spectrum = np.abs(np.fft.rfft(Upsampler()(tone(hertz, 8_000))[2400:] * np.hanning(9600)))
    frequency = np.fft.rfftfreq(9600, 1 / 24_000)
    assert spectrum[frequency > 4_500].max() < 2e-3 * spectrum.max()


@pytest.mark.parametrize("pieces", [[160] * 25, [1, 2, 3, 5, 80, 333, 1000], [4000]])
def test_pieces_sound_like_the_whole(pieces: list[int]) -> None:
    line = tone(440, 8_000)[: sum(pieces)]
    up = Upsampler()
    ends = np.cumsum(pieces)
    cut = [up(line[end - size : end]) for end, size in zip(ends, pieces, strict=True)]
    assert [len(each) for each in cut] == [RATIO * size for size in pieces]
    assert np.array_equal(np.concatenate(cut), Upsampler()(line))


def test_down_in_pieces_sounds_like_the_whole() -> None:
    line = tone(440, 24_000)
    down = Downsampler()
    cut = [down(line[at : at + 100]) for at in range(0, len(line), 100)]
    assert np.array_equal(np.concatenate(cut), Downsampler()(line))
    assert len(np.concatenate(cut)) == len(line) // RATIO


@pytest.mark.parametrize("hertz", [100, 1000, 3400, 7000])
def test_models_of_speech_hear_it_at_its_level_and_pitch(hertz: float) -> None:
    made = WidebandDownsampler()(tone(hertz, 24_000))
    assert len(made) == 8_000
    assert abs(level(made)) < 0.1
    spectrum = np.abs(np.fft.rfft(made[1_000:6_000] * np.hanning(5_000)))
    frequency = np.fft.rfftfreq(5_000, 1 / 16_000)
    assert abs(frequency[spectrum.argmax()] - hertz) < 5
    assert spectrum[np.abs(frequency - hertz) > 100].max() < 1e-3 * spectrum.max()


@pytest.mark.parametrize("hertz", [9_000, 10_000, 11_500])
def test_what_models_of_speech_cannot_have_does_not_fold(hertz: float) -> None:
    assert level(WidebandDownsampler()(tone(hertz, 24_000))) < -55


def test_wideband_in_pieces_sounds_like_the_whole() -> None:
    line = tone(440, 24_000)
    down = WidebandDownsampler()
    cut = [down(line[at : at + 100]) for at in range(0, len(line), 100)]
    assert np.array_equal(np.concatenate(cut), WidebandDownsampler()(line))


def test_it_delays_as_it_says_and_loud_sound_does_not_wrap() -> None:
    step = np.full(800, 32_767, np.int16)
    rises = np.flatnonzero(Upsampler()(step) > 16_000)[0] / 24_000
    assert rises == pytest.approx(0.0015, abs=1e-4)
    assert Upsampler()(step).min() > -5_000
