import numpy as np
import pytest
from numpy.typing import NDArray

from transceiver.media.extrapolate import Extrapolator


def buzz(hertz: float, samples: int, start: int = 0) -> NDArray[np.int16]:
    at = np.arange(start, start + samples) / 24_000
    line = sum(np.sin(2 * np.pi * hertz * k * at) / k for k in range(1, 8))
    return (5_000 * np.asarray(line)).astype(np.int16)


@pytest.mark.parametrize("hertz", [70, 100, 180, 250, 400])
def test_a_voiced_sound_goes_on_in_its_pitch(hertz: float) -> None:
    heard = Extrapolator()
    heard.append(buzz(hertz, 2400))
    made = heard.extrapolate(240)
    expected = buzz(hertz, 240, 2400)
    assert np.corrcoef(made, expected)[0, 1] > 0.9


def test_there_is_no_step_where_it_begins_and_where_it_ends() -> None:
    heard = Extrapolator()
    before = heard.append(buzz(120, 2400))
    hole = heard.extrapolate(480)
    after = heard.append(buzz(120, 480, 2400 + 480 + 77))  # in another phase
    line = np.concatenate((before, hole, after)).astype(int)
    usual = np.abs(np.diff(before.astype(int))).max()
    assert np.abs(np.diff(line[2300:])).max() < 1.3 * usual


def test_it_fades_to_silence() -> None:
    heard = Extrapolator()
    heard.append(buzz(120, 2400))
    loud, faded = heard.extrapolate(240), heard.extrapolate(2400)
    assert np.abs(loud).max() > 5_000
    assert np.abs(faded[:240]).max() < np.abs(loud).max()
    assert not faded[1200:].any()


def test_silence_stays_silent_and_short_packets_are_welcome() -> None:
    heard = Extrapolator()
    assert not heard.extrapolate(480).any()
    assert len(heard.append(buzz(120, 3))) == 3
    assert len(heard.append(buzz(120, 480))) == 480
    assert len(heard.extrapolate(1)) == 1
