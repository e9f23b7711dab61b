import numpy as np
import pytest

from transceiver.agent.speech.levels import RATE, TARGET, Samples, at_rate, evened, level_of


def tone(level: float, seconds: float = 0.5, rate: int = RATE, hertz: float = 200.0) -> Samples:
    at = np.arange(int(rate * seconds)) / rate
    return (level * 2**0.5 * np.sin(2 * np.pi * hertz * at)).astype(np.float32)


def quiet(seconds: float) -> Samples:
    return np.zeros(int(RATE * seconds), np.float32)


def test_level() -> None:
    pcm = (tone(0.1) * 32768).astype("<i2").tobytes()
    assert level_of(pcm) == pytest.approx(0.1, rel=0.01)
    assert level_of(b"") == 0
    assert level_of(b"\x00") == 0


@pytest.mark.parametrize("level", [0.03, 0.09, 0.3])
def test_pieces_are_equally_loud(level: float) -> None:
    pcm = evened(np.concatenate((quiet(1), tone(level), quiet(1))), 0)
    middle = pcm[len(pcm) // 3 // 2 * 2 : 2 * len(pcm) // 3 // 2 * 2]
    assert level_of(middle) == pytest.approx(TARGET, rel=0.05)


def test_nothing_is_louder_than_can_be() -> None:
    click = tone(0.02)
    click[6000] = 1.0
    assert np.abs(np.frombuffer(evened(click, 0), "<i2")).max() <= 0.9 * 32768


def test_silence_around_is_cut_and_the_pause_is_the_one_asked_for() -> None:
    pcm = np.frombuffer(evened(np.concatenate((quiet(1), tone(0.1), quiet(1))), 200), "<i2")
    assert len(pcm) / RATE == pytest.approx(0.5 + 0.02 + 0.06 + 0.2, abs=0.02)
    assert not pcm[-RATE // 5 :].any()


def test_the_ends_are_silent() -> None:
    at_once = tone(0.3)[30:-30]  # from a crest to a crest: a quarter of a period is cut off
    pcm = np.frombuffer(evened(at_once, 0), "<i2")
    assert pcm[0] == 0
    assert pcm[-1] == 0
    assert np.abs(np.diff(pcm.astype(int))).max() < 1_000


@pytest.mark.parametrize("nothing", [quiet(0), quiet(1), quiet(0.001)])
def test_no_sound_makes_no_piece(nothing: Samples) -> None:
    assert evened(nothing, 200) == b""


def test_other_rates_keep_pitch_and_level() -> None:
    made = at_rate(tone(0.1, rate=22_050, hertz=1000), 22_050)
    assert len(made) == RATE // 2
    spectrum = np.abs(np.fft.rfft(made))
    assert np.fft.rfftfreq(len(made), 1 / RATE)[spectrum.argmax()] == pytest.approx(1000, abs=3)
    assert np.sqrt(np.mean(made**2)) == pytest.approx(0.1, rel=0.01)
    assert at_rate(made, RATE) is made
