"""What was said, as a service that has forgotten it is told."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transceiver.bridge.events import Event
from transceiver.bridge.history import MAX_ITEMS, MAX_SIZE, History

HEARD = "conversation.item.input_audio_transcription.completed"
SAID = "response.output_audio_transcript.done"


def event(kind: str, **body: Any) -> Event:
    body = {"type": kind, **body}
    return Event(kind, body, json.dumps(body))


def message(name: str, role: str, *content: dict[str, Any], **more: Any) -> Event:
    item = {"id": name, "type": "message", "role": role, "content": list(content)}
    return event("conversation.item.added", item=item, **more)


def texts(history: History) -> list[tuple[str, str, str]]:
    """Id, type of content and text of each message."""
    return [
        (item["id"], item["content"][0]["type"], item["content"][0]["text"])
        for item in history.told()
    ]


@pytest.fixture
def history() -> History:
    return History()


def test_a_spoken_turn_is_told_as_text(history: History) -> None:
    history.follow(message("i1", "user", {"type": "input_audio", "transcript": None}))
    history.follow(message("i2", "assistant", previous_item_id="i1"))
    history.follow(event(SAID, item_id="i2", content_index=0, transcript="It is noon."))
    history.follow(event(HEARD, item_id="i1", content_index=0, transcript="what time is it"))
    assert texts(history) == [
        ("i1", "input_text", "what time is it"),
        ("i2", "output_text", "It is noon."),
    ]


def test_what_nobody_wrote_down_cannot_be_told(history: History) -> None:
    history.follow(message("i1", "user", {"type": "input_audio", "transcript": None}))
    assert len(history) == 1
    assert texts(history) == []


def test_items_have_their_places(history: History) -> None:
    for name, after in (("a", None), ("c", "a"), ("b", "a"), ("d", "c")):
        said = {"type": "input_text", "text": name}
        history.follow(message(name, "user", said, previous_item_id=after))
    assert [name for name, _, _ in texts(history)] == ["a", "b", "c", "d"]


def test_what_is_deleted_is_not_told(history: History) -> None:
    history.follow(message("i1", "user", {"type": "input_text", "text": "hello"}))
    history.follow(event("conversation.item.deleted", item_id="i1"))
    assert len(history) == 0


def test_of_what_was_cut_off_so_much_is_told_as_was_heard(history: History) -> None:
    history.follow(message("i1", "assistant"))
    history.sounded("i1", 4000 * 48)
    said = "one two three four five six seven eight"
    history.follow(event(SAID, item_id="i1", content_index=0, transcript=said))
    history.follow(event("conversation.item.truncated", item_id="i1", audio_end_ms=2000))
    assert texts(history) == [("i1", "output_text", "one two three four")]
    whole = {"type": "output_audio", "transcript": said}
    history.follow(message("i1", "assistant", whole))
    assert texts(history) == [("i1", "output_text", "one two three four")], "and stays so"


def test_calls_of_functions_are_told_with_their_answers(history: History) -> None:
    call = {"id": "f1", "type": "function_call", "call_id": "c1", "name": "now", "arguments": ""}
    output = {"id": "f2", "type": "function_call_output", "call_id": "c1", "output": "noon"}
    strange = output | {"id": "f3", "call_id": "of none"}
    history.follow(event("conversation.item.added", item=call))
    done = "response.function_call_arguments.done"
    history.follow(event(done, item_id="f1", arguments='{"in":"UTC"}'))
    history.follow(event("conversation.item.added", item=output))
    history.follow(event("conversation.item.added", item=strange))
    assert list(history.told()) == [call | {"arguments": '{"in":"UTC"}'}, output]


def test_services_of_the_beta_are_told_in_its_words(history: History) -> None:
    item = {"id": "i1", "type": "message", "role": "assistant", "content": []}
    history.follow(event("conversation.item.created", item=item))
    history.follow(event("response.audio_transcript.done", item_id="i1", transcript="noon"))
    assert texts(history) == [("i1", "text", "noon")]


def test_items_are_known_where_only_responses_name_them(history: History) -> None:
    content = [{"type": "output_text", "text": "noon"}]
    item = {"id": "i1", "type": "message", "role": "assistant", "content": content}
    history.follow(event("response.output_item.done", item=item))
    assert texts(history) == [("i1", "output_text", "noon")]
    beside = item | {"id": "i2"}
    history.follow(message("i3", "user", {"type": "input_text", "text": "and now"}))
    history.follow(event("response.output_item.done", item=beside))
    assert [name for name, _, _ in texts(history)] == ["i1", "i3"], "of another conversation"


def test_it_is_bounded(history: History) -> None:
    for number in range(3 * MAX_ITEMS):
        said = {"type": "input_text", "text": "x" * 1000}
        history.follow(message(f"i{number}", "user", said))
    assert len(history) <= MAX_ITEMS
    told = texts(history)
    assert sum(len(text) for _, _, text in told) <= MAX_SIZE
    assert told[-1][0] == f"i{3 * MAX_ITEMS - 1}", "the oldest are gone"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELDS = ("item", "item_id", "previous_item_id", "content_index", "audio_end_ms", "transcript")
KINDS = (
    *("conversation.item.added", "conversation.item.truncated", "response.output_item.done"),
    *(HEARD, SAID, "response.function_call_arguments.done", "conversation.item.deleted"),
)


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), JSON))))
def test_nothing_that_a_service_says_breaks_it(said: list[tuple[str, dict[str, Any]]]) -> None:
    history = History()
    history.follow(message("i1", "user", {"type": "input_text", "text": "hello"}))
    for kind, body in said:
        history.follow(event(kind, **({"item_id": "i1"} | body)))
    json.dumps(list(history.told()))
