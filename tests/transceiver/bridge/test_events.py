"""Events as services really send them, and as clients need them."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transceiver.bridge import events
from transceiver.bridge.events import Event

# Also with halves of characters, which JSON can have and UTF-8 cannot.
TEXT = st.text(st.characters() | st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


def new_id() -> str:
    return "event_new"


def event(body: dict[str, Any]) -> Event:
    found = events.read(json.dumps(body))
    assert found is not None
    return found


def mended(body: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(events.mended(event(body), new_id))
    return result


@pytest.mark.parametrize(
    "text", ["", "hello", "[]", "null", "1", "{}", '{"type": 7}', "[" * 100_000, b'{"type": "x"}']
)
def test_what_is_no_event_is_none(text: str | bytes) -> None:
    assert events.read(text) is None


def test_an_event_that_has_all_passes_as_it_came() -> None:
    text = '{ "type":"x.y" , "event_id" : "event_1", "\\u0061": 1e3}'
    found = events.read(text)
    assert found is not None
    assert events.mended(found, new_id) == text


@pytest.mark.parametrize("missing", [{}, {"event_id": None}, {"event_id": ""}, {"event_id": 7}])
def test_an_event_without_an_id_gets_one(missing: dict[str, Any]) -> None:
    assert mended({"type": "x", "y": 1, **missing}) == {
        "type": "x",
        "y": 1,
        "event_id": "event_new",
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"type": "error", "error": "it broke", "code": "oops"}, "it broke"),
        ({"error": "it broke"}, "it broke"),
        ({"type": "error", "message": "flat"}, "flat"),
        ({"type": "error", "error": None}, "the back end reports an error and does not say which"),
    ],
)
def test_errors_of_any_shape_become_errors_that_clients_read(
    body: dict[str, Any], message: str
) -> None:
    told = mended(body)
    assert (told["type"], told["event_id"]) == ("error", "event_new")
    assert (told["error"]["type"], told["error"]["message"]) == ("server_error", message)
    assert told["error"].get("code") == body.get("code")


def test_a_session_is_there_also_where_the_service_sends_none() -> None:
    assert mended({"type": "session.created", "id": "sess_1", "created": 1})["session"] == {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
    }
    assert mended({"type": "session.created", "session": None})["session"]["id"] == "event_new"


@pytest.mark.parametrize("kind", events.AUDIO_DELTAS)
def test_sound_is_read_with_its_place(kind: str) -> None:
    delta = base64.b64encode(b"\1\2\3\4").decode()
    place = {"response_id": "resp_1", "item_id": "item_1", "content_index": 2}
    assert events.sound_of(event({"type": kind, "delta": delta, **place})) == (
        *("resp_1", "item_1", 2),
        b"\1\2\3\4",
    )
    assert events.sound_of(event({"type": kind, "delta": delta})) == ("", "", 0, b"\1\2\3\4")
    assert events.sound_of(event({"type": kind, "delta": "AAA"})) is None
    assert events.sound_of(event({"type": kind, "delta": "\u00e4"})) is None


@pytest.mark.parametrize(
    ("session", "told"),
    [
        ({"audio": {"input": {"turn_detection": {"interrupt_response": True}}}}, True),
        ({"audio": {"input": {"turn_detection": {"interrupt_response": False}}}}, False),
        ({"turn_detection": {"interrupt_response": True}}, True),
        ({"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}, None),
        ({"audio": {"input": {"turn_detection": None}}}, None),
        ({"audio": []}, None),
        ({}, None),
    ],
)
def test_who_ends_a_response_when_the_client_speaks(
    session: dict[str, Any], told: bool | None
) -> None:
    assert events.interrupts(session) is told


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({"instructions": "hi"}, None),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 24000}}}}, None),
        ({"audio": {"input": {"format": {"type": "audio/pcm"}}}}, None),
        ({"input_audio_format": "pcm16"}, None),
        (
            {"input_audio_format": "g711_ulaw", "voice": "x"},
            {"input_audio_format": "pcm16", "voice": "x"},
        ),
        (
            {"audio": {"output": {"format": {"type": "audio/pcmu"}, "voice": "x"}, "input": {}}},
            {"audio": {"output": {"format": events.PCM, "voice": "x"}, "input": {}}},
        ),
        (
            {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}},
            {"audio": {"input": {"format": events.PCM}}},
        ),
    ],
)
def test_the_sound_of_a_service_is_pcm_of_24_khz_whatever_is_asked_for(
    body: dict[str, Any], changed: dict[str, Any] | None
) -> None:
    assert events.with_pcm(body) == changed


def test_an_event_is_fitted_into_the_messages_that_a_client_takes() -> None:
    text = json.dumps({"type": "x", "event_id": "e", "y": "z" * 50})
    assert events.fitted(text, 0, new_id) == text
    assert events.fitted(text, len(text), new_id) == text
    told = json.loads(events.fitted("\u00e4" * 100, 150, new_id))
    assert told["type"] == "error"
    told = json.loads(events.fitted(json.dumps({"type": "x", "y": "z" * 900}), 500, new_id))
    assert told["error"]["code"] == "event_too_long"
    assert "x of 922 bytes is left out" in told["error"]["message"]


def test_an_event_that_fits_without_escapes_is_said_without_them() -> None:
    body = {"type": "conversation.item.added", "item": {"content": [{"text": "你" * 1000}]}}
    told = events.fitted(json.dumps(body), 4000, new_id)
    assert len(told.encode()) <= 4000
    assert json.loads(told) == body


def test_an_error_about_an_event_is_short_whatever_that_is_called() -> None:
    told = events.fitted(json.dumps({"type": "ж" * 5000}), 500, new_id)
    assert json.loads(told)["error"]["code"] == "event_too_long"
    assert len(told.encode()) <= 500


def test_what_is_written_can_be_said_in_utf_8() -> None:
    for text in ("привет", "half a character: \ud83d"):
        written = events.write("x", text=text)
        assert len(written.encode()) < 60
        assert json.loads(written)["text"] == text


def test_recorded_sound_is_left_out_of_an_event_that_is_too_long() -> None:
    content = {"type": "input_audio", "transcript": "hello", "audio": "A" * 5000}
    body = {"type": "conversation.item.retrieved", "event_id": "e", "item": {"content": [content]}}
    told = json.loads(events.fitted(json.dumps(body), 1000, new_id))
    assert told["item"]["content"] == [{"type": "input_audio", "transcript": "hello"}]
    response = {"type": "response.done", "response": {"output": [body["item"]]}}
    told = json.loads(events.fitted(json.dumps(response), 1000, new_id))
    assert "audio" not in told["response"]["output"][0]["content"][0]


@given(body=st.dictionaries(TEXT, JSON, max_size=4), kind=st.sampled_from(["error", "x"]))
def test_nothing_that_a_service_sends_raises(body: dict[str, Any], kind: str) -> None:
    found = event(body | {"type": kind})
    events.sound_of(found)
    events.fault_of(found)
    events.interrupts(found.body)
    events.with_pcm(found.body)
    again = events.read(events.mended(found, new_id))
    assert again is not None
    assert again.word("event_id")
    again.text.encode()
    events.fitted(found.text, 60, new_id).encode()
