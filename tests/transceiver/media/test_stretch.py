import numpy as np
import pytest

from transceiver.media import stretch
from transceiver.media.stretch import LONGEST, NEEDED, Pcm


def voice(hertz: float, samples: int, start: int = 0) -> Pcm:
    at = np.arange(start, start + samples) / 24_000
    buzz = np.sum([np.sin(2 * np.pi * hertz * k * at + k) / k for k in range(1, 12)], axis=0)
    return np.asarray(5_000 * buzz, np.int16)


def noise(samples: int, loudness: float) -> Pcm:
    return np.asarray(np.random.default_rng(1).normal(0, loudness, samples), np.int16)


def pitch(pcm: Pcm) -> float:
    """The strongest frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)), 1 << 18))
    return float(np.argmax(spectrum)) * 24_000 / (1 << 18)


def roughness(pcm: Pcm) -> float:
    """The largest step between two samples that stand beside each other."""
    return float(np.abs(np.diff(pcm.astype(float))).max())


@pytest.mark.parametrize("hertz", [75, 110, 143, 210, 330])
def test_a_period_goes_and_the_pitch_stays(hertz: float) -> None:
    pcm = voice(hertz, 4_800)
    shorter = stretch.shorten(pcm, LONGEST)
    assert shorter is not None
    periods = (len(pcm) - len(shorter)) * hertz / 24_000
    assert periods == pytest.approx(round(periods), abs=0.03)
    assert periods > 0.9
    assert pitch(shorter) == pytest.approx(pitch(pcm), rel=0.01)
    assert roughness(shorter) < 1.05 * roughness(pcm)
    assert np.array_equal(shorter[-3_000:], pcm[-3_000:])


@pytest.mark.parametrize("hertz", [75, 110, 143, 210, 330])
def test_a_period_comes_and_fits_what_was_played(hertz: float) -> None:
    whole = voice(hertz, 4_800)
    past, pcm = whole[:1_440], whole[1_440:]
    longer = stretch.lengthen(past, pcm)
    assert longer is not None
    periods = (len(longer) - len(pcm)) * hertz / 24_000
    assert periods == pytest.approx(round(periods), abs=0.03)
    assert roughness(np.concatenate((past, longer))) < 1.05 * roughness(whole)
    assert np.array_equal(longer[-len(pcm) :], pcm)


def test_with_haste_several_periods_go() -> None:
    at = np.arange(2_400) / 24_000
    phase = 2 * np.pi * (300 * at + 200 * at**2)  # a pitch that rises: the nearest is most alike
    pcm = np.asarray(6_000 * np.sin(phase) + 3_000 * np.sin(2 * phase), np.int16)
    shorter, hasty = stretch.shorten(pcm, LONGEST), stretch.shorten(pcm, LONGEST, haste=True)
    assert shorter is not None
    assert hasty is not None
    assert 70 < len(pcm) - len(shorter) < 90
    assert 4 * 70 < len(pcm) - len(hasty) <= LONGEST
    assert roughness(hasty) < 1.2 * roughness(pcm)


def test_what_comes_leads_from_what_was_to_follow_back_to_what_was_played() -> None:
    rise = np.interp(np.arange(2_880), [1_200, 1_700], [0.2, 1])
    whole = np.asarray(voice(143, 2_880) * rise, np.int16)
    past, pcm = whole[:1_440], whole[1_440:]
    longer = stretch.lengthen(past, pcm)
    assert longer is not None
    more = len(longer) - len(pcm)
    assert np.abs(longer[:4].astype(int) - pcm[:4]).max() < 300
    assert np.abs(longer[more - 4 : more].astype(int) - past[-4:]).max() < 300
    assert np.abs(pcm[more - 4 : more].astype(int) - past[-4:]).max() > 300


def test_no_more_goes_than_may() -> None:
    pcm = voice(330, 2_400)
    shorter = stretch.shorten(pcm, 100)
    assert shorter is not None
    assert len(pcm) - len(shorter) <= 100
    assert stretch.shorten(pcm, stretch.SHORTEST - 1) is None
    assert stretch.shorten(pcm[: NEEDED - 1], LONGEST) is None


def test_what_does_not_repeat_is_left_alone_unless_nobody_hears_it() -> None:
    loud, still = noise(2_400, 2_000), noise(2_400, 20)
    assert stretch.shorten(loud, LONGEST) is None
    assert stretch.lengthen(loud[:1_440], loud[1_440:]) is None
    assert stretch.shorten(still, LONGEST) is not None
    assert stretch.lengthen(still[:1_440], still[1_440:]) is not None
    assert stretch.shorten(np.zeros(960, np.int16), LONGEST) is not None


def test_audio_goes_on_in_step_after_what_stood_for_it() -> None:
    past, pcm = voice(120, 1_440), voice(120, 2_400, start=1_440 + 77)
    merged = stretch.merge(past, pcm)
    assert len(pcm) - LONGEST <= len(merged) <= len(pcm)
    assert roughness(np.concatenate((past, merged))) < 1.1 * roughness(past)
    assert roughness(np.concatenate((past, pcm))) > 1.5 * roughness(past)
    assert np.array_equal(merged[-1_500:], pcm[-1_500:])


def test_too_little_is_left_as_it_is() -> None:
    assert stretch.lengthen(voice(120, 100), voice(120, 960)) is None
    assert stretch.lengthen(voice(120, 960), voice(120, 100)) is None
    few = voice(120, 100)
    assert stretch.merge(voice(120, 960), few) is few


def test_loud_audio_does_not_overflow() -> None:
    square = np.where(np.arange(2_400) // 80 % 2, 32_767, -32_768).astype(np.int16)
    shorter = stretch.shorten(square, LONGEST)
    assert shorter is not None
    assert set(np.unique(shorter)) <= set(range(-32_768, 32_768))
    assert np.abs(shorter.astype(int)).min() > 30_000
