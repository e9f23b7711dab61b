"""Names of the beta protocol."""

from typing import Any

from tests.transceiver.realtime.dialogue import Dialogue, types
from transceiver.realtime.beta import modern


def test_a_flat_session_is_understood() -> None:
    talk = Dialogue()
    session = {
        "modalities": ["text", "audio"],
        "voice": "alloy",
        "input_audio_format": "g711_ulaw",
        "output_audio_format": "pcm16",
        "input_audio_transcription": {"model": "whisper-1"},
        "turn_detection": {"type": "server_vad", "threshold": 0.4},
        "max_response_output_tokens": 100,
        "temperature": 0.8,
    }
    (updated,) = talk.tell("session.update", session=session)
    event = updated["session"]
    assert event["output_modalities"] == ["audio"]
    assert event["max_output_tokens"] == 100
    assert event["audio"]["output"]["voice"] == "alloy"
    assert event["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    assert event["audio"]["input"]["transcription"] == {"model": "whisper-1"}
    assert event["audio"]["input"]["turn_detection"]["threshold"] == 0.4


def test_a_null_stays_one() -> None:
    (updated,) = Dialogue().tell("session.update", session={"turn_detection": None})
    assert updated["session"]["audio"]["input"]["turn_detection"] is None


def test_the_old_transcription_session_is_understood() -> None:
    session: dict[str, Any] = {"input_audio_transcription": {"model": "whisper-1"}}
    (updated,) = Dialogue().tell("transcription_session.update", session=session)
    assert updated["session"]["type"] == "transcription"
    assert updated["session"]["audio"]["input"]["transcription"] == {"model": "whisper-1"}


def test_content_has_todays_types() -> None:
    talk = Dialogue()
    for role, kind, now in (
        ("user", "text", "input_text"),
        ("assistant", "text", "output_text"),
        ("system", "text", "input_text"),
    ):
        item = {"type": "message", "role": role, "content": [{"type": kind, "text": "x"}]}
        added, _ = talk.tell("conversation.item.create", item=item)
        assert added["item"]["content"][0]["type"] == now
    response = {"modalities": ["text"], "input": [item]}
    assert types(talk.tell("response.create", response=response)) == ["response.created"]


def test_what_is_of_today_stays_as_it_is() -> None:
    for event in (
        {"type": "session.update", "session": {"type": "realtime", "audio": {}}},
        {"type": "session.update", "session": 5},
        {"type": "response.create", "response": {"instructions": "x"}},
        {"type": "conversation.item.create", "item": {"content": [5, {"type": 5}], "role": []}},
        {"type": 5},
    ):
        assert modern(event) == event


def test_todays_place_wins() -> None:
    session = {"type": "realtime", "voice": "old", "audio": {"output": {"voice": "new"}}}
    moved = modern({"type": "session.update", "session": session})["session"]
    assert moved == {"type": "realtime", "audio": {"output": {"voice": "new"}}}
    assert session["audio"] == {"output": {"voice": "new"}}, "the event itself is not changed"
