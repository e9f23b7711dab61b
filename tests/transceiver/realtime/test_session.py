"""The session object and its updates."""

from typing import Any

import pytest

from transceiver.realtime.errors import EventError
from transceiver.realtime.session import MAX_SESSION, Session

INVALID, MISSING = "invalid_value", "missing_required_parameter"
LONG = "string_above_max_length"


def hearing(**fields: Any) -> dict[str, Any]:
    return {"audio": {"input": fields}}


def session(kind: str = "realtime") -> Session:
    return Session.new("sess_1", "a-model", "a-voice", 3600, kind)


def updated(**fields: Any) -> dict[str, Any]:
    return session().updated({"type": "realtime", **fields}).as_event()


def test_a_session_is_told_whole() -> None:
    assert session().as_event() == {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
        "expires_at": 3600,
        "model": "a-model",
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 500,
                    "idle_timeout_ms": None,
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
            "output": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "voice": "a-voice",
                "speed": 1.0,
            },
        },
    }


def test_only_fields_that_are_there_change() -> None:
    first = session().updated({"type": "realtime", "instructions": "Be brief."})
    second = first.updated({"type": "realtime", "audio": {"output": {"speed": 1.2}}})
    event = second.as_event()
    assert event["instructions"] == "Be brief."
    assert event["audio"]["output"]["speed"] == 1.2
    assert event["audio"]["output"]["voice"] == "a-voice"
    assert event["audio"]["input"] == session().as_event()["audio"]["input"]
    assert first.as_event()["audio"]["output"]["speed"] == 1.0


@pytest.mark.parametrize("empty", [{}, {"audio": {}}, {"audio": {"input": {}, "output": {}}}])
def test_an_update_without_fields_changes_nothing(empty: dict[str, Any]) -> None:
    assert updated(**empty) == session().as_event()


@pytest.mark.parametrize(
    ("name", "full", "empty", "cleared"),
    [
        ("instructions", "x", "", ""),
        ("instructions", "x", None, ""),
        ("tools", [{"type": "function", "name": "f"}], [], []),
        ("tools", [{"type": "function", "name": "f"}], None, []),
        ("tracing", "auto", None, None),
        ("tool_choice", "none", None, "auto"),
        ("prompt", {"id": "pmpt_1"}, None, ...),
        ("include", ["item.input_audio_transcription.logprobs"], None, ...),
        ("max_output_tokens", 5, None, "inf"),
    ],
)
def test_what_is_empty_clears(name: str, full: Any, empty: Any, cleared: Any) -> None:
    before = session().updated({"type": "realtime", name: full})
    assert before.as_event()[name] == full
    after = before.updated({"type": "realtime", name: empty}).as_event()
    assert after.get(name, ...) == cleared


@pytest.mark.parametrize("name", ["turn_detection", "transcription", "noise_reduction"])
def test_null_turns_off(name: str) -> None:
    event = updated(audio={"input": {name: None}})
    assert event["audio"]["input"][name] is None


def test_turn_detection_is_filled_up_and_replaced_whole() -> None:
    detection = {"type": "server_vad", "threshold": 0.9, "idle_timeout_ms": 6000}
    first = session().updated(
        {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    )
    assert (first.turn_detection or {})["silence_duration_ms"] == 500
    detection = {"type": "semantic_vad", "interrupt_response": False, "model_version": "x"}
    second = first.updated({"type": "realtime", "audio": {"input": {"turn_detection": detection}}})
    assert second.turn_detection == {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": False,
    }


def test_its_model_never_changes_and_what_nobody_knows_is_passed_over() -> None:
    assert updated(model="other", id="mine", whatever={"x": 1}) == session().as_event()


def test_both_modalities_are_sound() -> None:
    assert updated(output_modalities=["text", "audio"])["output_modalities"] == ["audio"]
    assert updated(output_modalities=["text"])["output_modalities"] == ["text"]


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"type": "other"}, INVALID, "type"),
        ({"type": None}, MISSING, "type"),
        ({"audio": {"output": {"speed": 2}}}, INVALID, "audio.output.speed"),
        (hearing(format={"type": "audio/pcm", "rate": 16000}), INVALID, "audio.input.format.rate"),
        (hearing(format="pcm16"), INVALID, "audio.input.format"),
        (
            hearing(turn_detection={"type": "server_vad", "idle_timeout_ms": 100}),
            INVALID,
            "audio.input.turn_detection.idle_timeout_ms",
        ),
        (
            hearing(turn_detection={"threshold": 0.5}),
            MISSING,
            "audio.input.turn_detection.type",
        ),
        ({"tools": [{"type": "function"}]}, MISSING, "tools[0].name"),
        ({"tools": [{"name": "x"}]}, MISSING, "tools[0].type"),
        ({"tool_choice": "maybe"}, INVALID, "tool_choice"),
        ({"max_output_tokens": 5000}, INVALID, "max_output_tokens"),
        ({"output_modalities": ["video"]}, INVALID, "output_modalities[0]"),
        ({"instructions": "x" * (MAX_SESSION + 1)}, LONG, "instructions"),
        (
            {"truncation": {"type": "retention_ratio", "retention_ratio": 2}},
            INVALID,
            "truncation",
        ),
    ],
)
def test_what_is_wrong(fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(EventError) as caught:
        updated(**fields)
    assert (caught.value.code, caught.value.param) == (code, f"session.{param}")


def test_it_must_stay_within_a_message() -> None:
    half = session().updated({"type": "realtime", "instructions": "x" * (MAX_SESSION // 2)})
    tool = {"type": "function", "name": "f", "description": "x" * (MAX_SESSION // 2)}
    with pytest.raises(EventError) as caught:
        half.updated({"type": "realtime", "tools": [tool]})
    assert caught.value.param == "session"


def test_letters_that_are_no_ascii_count_as_their_bytes() -> None:
    said = "ж" * (MAX_SESSION // 2 - 1000)
    assert updated(instructions=said)["instructions"] == said
    with pytest.raises(EventError) as caught:
        updated(instructions="ж" * (MAX_SESSION // 2))
    assert caught.value.code == LONG


def test_a_transcription_session_has_an_input_only() -> None:
    event = session("transcription").as_event()
    assert event["object"] == "realtime.transcription_session"
    assert set(event) == {"type", "object", "id", "expires_at", "audio"}
    assert set(event["audio"]) == {"input"}


@pytest.mark.parametrize("update", [None, "x", []])
def test_an_update_is_an_object(update: object) -> None:
    with pytest.raises(EventError):
        session().updated(update)
