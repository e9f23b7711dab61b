"""What official clients rely on without a word: where it lacks, they go on and nothing happens.

By client: JS is `@openai/agents-realtime`, with the events that it sends.
"""

from typing import Any

import pytest

from tests.transceiver.realtime.dialogue import MS, Dialogue, types

# JS sends the whole of it when its channel opens, with keys that no schema has.
WHOLE: dict[str, Any] = {
    "type": "realtime",
    "instructions": "Be brief.",
    "model": "gpt-realtime",
    "output_modalities": ["audio"],
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "noise_reduction": None,
            "transcription": {"model": "gpt-4o-mini-transcribe"},
            "turn_detection": {"type": "semantic_vad", "model_version": "default"},
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "ash", "speed": 1},
    },
    "tool_choice": "auto",
    "tools": [
        {
            "type": "function",
            "name": "weather",
            "description": "",
            "parameters": {"type": "object", "properties": {}, "required": []},
            "strict": True,
        }
    ],
    "providerData": {"x": 1},
}
WITH_CALL = ("response.output_item.added", "conversation.item.added", "response.output_item.done")


def test_js_configures_its_session_twice(talk: Dialogue) -> None:
    (first,) = talk.tell("session.update", session=WHOLE)
    assert first["type"] == "session.updated"
    detection = first["session"]["audio"]["input"]["turn_detection"]
    assert detection["interrupt_response"] is True, "else it sends response.cancel of its own"
    (second,) = talk.tell("session.update", session={"type": "realtime", "tracing": "auto"})
    assert second["session"]["tracing"] == "auto"
    assert second["session"]["tools"][0]["name"] == "weather", "the whole session is told"


def test_livekit_finds_its_response_by_metadata(talk: Dialogue) -> None:
    metadata = {"client_event_id": "response_create_1"}
    (created,) = talk.tell("response.create", response={"metadata": metadata})
    assert created["response"]["metadata"] == metadata
    (done,) = talk.take(talk.engine.finish(created["response"]["id"]))
    assert done["response"]["metadata"] == metadata


def test_livekit_waits_for_the_item_that_it_has_named(talk: Dialogue) -> None:
    added, _ = talk.write("hello", id="item_of_mine")
    assert (added["type"], added["item"]["id"]) == ("conversation.item.added", "item_of_mine")
    again = talk.write("hello", id="item_of_mine")
    assert talk.error(again)[0] == "item_create_duplicate_item_id"


@pytest.mark.parametrize("voice", ["marin", {"id": "voice_123"}])
def test_the_voice_of_a_response_is_a_text(talk: Dialogue, voice: Any) -> None:
    talk.tell("session.update", session={"type": "realtime", "audio": {"output": {"voice": voice}}})
    (created,) = talk.tell("response.create")
    named = created["response"]["audio"]["output"]["voice"]
    assert named == (voice if isinstance(voice, str) else voice["id"])


def test_a_function_call_has_all_fields_from_the_first_event_on(talk: Dialogue) -> None:
    events = talk.take(talk.engine.call(talk.respond(), "weather", "{}"))
    items = [each["item"] for each in events if each["type"] in WITH_CALL]
    assert len(items) == 3
    for item in items:
        for name in ("id", "call_id", "name", "arguments", "status", "type", "object"):
            assert isinstance(item[name], str), name


def test_a_response_beside_the_conversation_is_in_none(talk: Dialogue) -> None:
    talk.write("hello")
    (created,) = talk.tell("response.create", response={"conversation": "none", "input": []})
    assert created["response"]["conversation_id"] is None
    name = created["response"]["id"]
    events = talk.take(talk.engine.say(name, "psst", MS)) + talk.take(talk.engine.finish(name))
    assert "conversation.item.added" not in types(events)
    assert len(talk.engine.conversation) == 1


def test_a_response_of_the_conversation_names_it(talk: Dialogue) -> None:
    (created,) = talk.tell("response.create")
    assert created["response"]["conversation_id"].startswith("conv_")


def test_what_was_truncated_can_be_retrieved(talk: Dialogue) -> None:
    """JS does so after each, or its history stays as it was."""
    name = talk.respond()
    (added, *_) = talk.take(talk.engine.say(name, "A long story.", 500 * MS))
    cut = {"item_id": added["item"]["id"], "content_index": 0, "audio_end_ms": 200}
    assert types(talk.tell("conversation.item.truncate", **cut)) == ["conversation.item.truncated"]
    (told,) = talk.tell("conversation.item.retrieve", item_id=added["item"]["id"])
    assert told["type"] == "conversation.item.retrieved"


def test_a_transcription_says_what_it_used_in_whole(manual: Dialogue) -> None:
    """JS drops one of the type `tokens` without its details."""
    talk = manual
    listening = {"transcription": {"model": "any"}, "turn_detection": None}
    talk.tell("session.update", session={"type": "realtime", "audio": {"input": listening}})
    talk.append(200)
    name = talk.tell("input_audio_buffer.commit")[0]["item_id"]
    completed = talk.take(talk.engine.transcribed(name, "hello"))[-1]
    assert completed["type"] == "conversation.item.input_audio_transcription.completed"
    usage = completed["usage"]
    assert usage["type"] == "duration" or {
        "input_tokens",
        "output_tokens",
        "input_token_details",
    } <= set(usage)


def test_content_of_users_has_what_its_readers_insist_on(manual: Dialogue) -> None:
    manual.append(200)
    _, added, done = manual.tell("input_audio_buffer.commit")
    for event in (added, done):
        assert "transcript" in event["item"]["content"][0]
    added, done = manual.write("hello")
    for event in (added, done):
        assert event["item"]["content"][0]["text"] == "hello"
        assert event["item"]["id"]


def test_what_is_harmless_is_no_error(talk: Dialogue) -> None:
    """pipecat ends at any error that it does not know."""
    assert talk.tell("output_audio_buffer.clear") == []
    assert types(talk.tell("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert types(talk.tell("session.update", session={"type": "realtime"})) == ["session.updated"]
    assert talk.error(talk.tell("response.cancel"))[0] == "response_cancel_not_active"


def test_items_of_any_kind_that_clients_add_are_told_with_their_ids(talk: Dialogue) -> None:
    content = [{"type": "input_image", "image_url": "data:image/png;base64,AA=="}]
    made: list[dict[str, Any]] = [
        {"type": "message", "role": "user", "content": content},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "5"},
    ]
    for item in made:
        added, done = talk.tell("conversation.item.create", item=item)
        assert added["item"]["id"] == done["item"]["id"]
        assert added["item"]["object"] == "realtime.item"
