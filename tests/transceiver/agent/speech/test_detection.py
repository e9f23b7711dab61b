import pytest

from transceiver.agent.speech.detection import SEMANTIC_SILENCE_MS, Detection


def test_what_is_absent_or_null_has_its_default() -> None:
    assert Detection.of({}) == Detection(0.5, 300, 500, None)
    assert Detection.of({"type": "server_vad", "threshold": None}) == Detection()


def test_server_vad() -> None:
    given = {
        "type": "server_vad",
        "threshold": 0.7,
        "prefix_padding_ms": 0,
        "silence_duration_ms": 200,
        "idle_timeout_ms": 5000,
    }
    assert Detection.of(given) == Detection(0.7, 0, 200, 5000)


@pytest.mark.parametrize("eagerness", ["low", "medium", "high", "auto"])
def test_semantic_vad_waits_by_eagerness(eagerness: str) -> None:
    found = Detection.of({"type": "semantic_vad", "eagerness": eagerness})
    assert found.silence_duration_ms == SEMANTIC_SILENCE_MS[eagerness]
    assert Detection.of({"type": "semantic_vad"}).silence_duration_ms == SEMANTIC_SILENCE_MS["auto"]


def test_the_more_eager_the_shorter() -> None:
    waits = [SEMANTIC_SILENCE_MS[each] for each in ("low", "medium", "high")]
    assert waits == sorted(waits, reverse=True)
