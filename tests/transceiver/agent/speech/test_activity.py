import importlib.util
from typing import Any

import numpy as np
import pytest

from tests.transceiver.agent.speech.sounds import noise, silence, speech
from transceiver.agent.speech import activity
from transceiver.agent.speech.activity import CHUNK, Activity, Detector, load
from transceiver.agent.speech.errors import MissingPartError
from transceiver.media.resample import WidebandDownsampler


def probabilities(detector: Activity, sound: bytes) -> list[float]:
    low = WidebandDownsampler()(np.frombuffer(sound, "<i2"))
    return [detector(low[at : at + CHUNK]) for at in range(0, len(low) - CHUNK + 1, CHUNK)]


@pytest.mark.parametrize("voice", ["hibari", "espeak"])
def test_speech_is_told_from_what_is_none(voice: str) -> None:
    said = probabilities(load().detector(), speech("What time is it, please?", voice))
    assert np.mean(said) > 0.7
    for sound in (silence(2), noise(2, 0.01)):
        assert max(probabilities(load().detector(), sound)) < 0.3


def test_sessions_do_not_hear_each_other() -> None:
    alone = probabilities(load().detector(), speech("What time is it, please?"))
    one, other = load().detector(), load().detector()
    low = WidebandDownsampler()(np.frombuffer(speech("What time is it, please?"), "<i2"))
    loud = np.random.default_rng(1).normal(0, 5000, CHUNK).astype(np.int16)
    mixed = []
    for at in range(0, len(low) - CHUNK + 1, CHUNK):
        mixed.append(one(low[at : at + CHUNK]))
        other(loud)
    assert mixed == alone


def test_the_network_sees_the_end_of_the_chunk_before() -> None:
    seen = []

    class Recorder:
        def run(self, _: None, feed: dict[str, Any]) -> tuple[Any, Any]:
            seen.append(feed["input"].copy())
            return np.zeros((1, 1)), feed["state"]

    detector = Detector(Recorder())
    for first in (0, CHUNK):
        detector(np.arange(first, first + CHUNK, dtype=np.int16))
    assert seen[1][0] * 32768 == pytest.approx(np.arange(CHUNK - 64, 2 * CHUNK))


def test_the_network_is_loaded_once() -> None:
    assert load() is load()


def test_where_it_is_missing_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "find_spec", lambda _: None)
    assert importlib.util.find_spec("onnxruntime")
    with pytest.raises(MissingPartError, match="icelane\\[agent\\]"):
        activity.Network()
