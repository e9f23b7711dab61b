import numpy as np
import pytest

from tests.transceiver.agent.speech.sounds import engine
from transceiver.agent.speech.engines import Espeak, Hibari, engines
from transceiver.agent.speech.errors import AgentError
from transceiver.agent.speech.levels import RATE


@pytest.mark.parametrize("name", ["hibari", "espeak"])
def test_a_sentence_sounds_and_sounds_the_same_again(name: str) -> None:
    made = engine(name)
    sound = made.say("What time is it?", made.voices[0], 1.0)
    assert 0.5 < len(sound) / RATE < 3
    assert 0.05 < np.abs(sound).max() < 1.5
    assert np.array_equal(sound, made.say("What time is it?", made.voices[0], 1.0))


@pytest.mark.parametrize("name", ["hibari", "espeak"])
def test_speed(name: str) -> None:
    made = engine(name)
    text = "Your timer is set for one hour and twenty minutes."
    slow, usual, fast = (len(made.say(text, made.voices[0], speed)) for speed in (0.5, 1.0, 1.5))
    assert slow > 1.4 * usual
    assert fast < 0.8 * usual


@pytest.mark.parametrize("name", ["hibari", "espeak"])
@pytest.mark.parametrize("text", ["-x --help", "\N{SNOWMAN}", "<speak>no</speak>", "a" * 200])
def test_no_text_is_taken_for_anything_else(name: str, text: str) -> None:
    made = engine(name)
    assert made.say(text, made.voices[0], 1.0).ndim == 1


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("It is 7:05 PM.", "It is seven oh five P.M."),
        ("It is 7 PM.", "It is seven P.M."),
        ("That is 1,024.", "That is one thousand, twenty-four."),
        ("That is 2.5.", "That is two point five."),
        ("November 27, 2026", "November twenty-seventh, twenty twenty-six"),
        ("Dr. Smith", "Doctor Smith"),
        ("5 km", "five kilometers"),
    ],
)
def test_numbers_times_and_abbreviations_are_read_as_words(short: str, long: str) -> None:
    """By the lengths of both: a voice that spelled them would take far longer."""
    made = engine("hibari")
    assert isinstance(made, Hibari)
    spoken, written = (len(made.say(text, made.voices[0], 1.0)) for text in (short, long))
    assert spoken == pytest.approx(written, rel=0.2)


def test_voices_that_would_need_a_network_are_not_offered() -> None:
    assert Hibari().voices == ("heart",)


def test_the_best_engine_comes_first() -> None:
    assert [type(each) for each in engines()] == [Hibari, Espeak]


def test_without_the_program_there_is_no_espeak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert [type(each) for each in engines()] == [Hibari]


def test_a_program_that_fails_is_an_error_with_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory
) -> None:
    program = tmp_path / "espeak-ng"  # type: ignore[operator]
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(AgentError, match="espeak-ng could not speak"):
        Espeak().say("hello", "espeak", 1.0)
