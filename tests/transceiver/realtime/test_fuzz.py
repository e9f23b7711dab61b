"""Whatever clients send, in whatever order, with whatever happens: each answer is as it must be."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transceiver.realtime import generate, orders
from tests.transceiver.realtime.dialogue import MS, Dialogue, types
from tests.transceiver.realtime.strict import client_models
from transceiver.realtime.commands import Generate, Transcribe

ITEM = ["conversation.item.added", "conversation.item.done"]
# What may answer an event, beside an `error`.
ANSWERS: dict[str, list[list[str]]] = {
    "session.update": [["session.updated"]],
    "input_audio_buffer.append": [[]],
    "input_audio_buffer.commit": [["input_audio_buffer.committed", *ITEM]],
    "input_audio_buffer.clear": [["input_audio_buffer.cleared"]],
    "output_audio_buffer.clear": [[]],
    "conversation.item.create": [ITEM],
    "conversation.item.retrieve": [["conversation.item.retrieved"]],
    "conversation.item.delete": [["conversation.item.deleted"]],
    "conversation.item.truncate": [["conversation.item.truncated"]],
    "response.create": [["response.created"]],
    "response.cancel": [["response.done"]],
}


def test_all_events_of_the_package_are_known() -> None:
    assert set(ANSWERS) == set(client_models())


@pytest.mark.parametrize("kind", ANSWERS)
@settings(max_examples=60)
@given(data=st.data())
def test_each_event_is_answered(kind: str, data: st.DataObject) -> None:
    talk = Dialogue()
    talk.tell(
        "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    )
    talk.append(200)
    talk.write("hello", id="a")
    event = data.draw(generate.model(client_models()[kind]))
    answer = talk.take(talk.engine.receive(json.dumps(event)))
    if types(answer) == ["error"]:
        error = answer[0]["error"]
        assert error["code"]
        assert error["message"]
        wanted = event.get("event_id")
        assert error.get("event_id") == (wanted if wanted and len(wanted) <= 512 else None)
    else:
        assert types(answer) in ANSWERS[kind]


@pytest.mark.parametrize(
    "kind",
    ["session.update", "conversation.item.create", "response.create", "input_audio_buffer.append"],
)
def test_good_events_are_not_refused(kind: str) -> None:
    """Else the test above would be content with errors."""
    accepted = 0

    @settings(max_examples=60, database=None, derandomize=True)
    @given(generate.model(client_models()[kind]))
    def count(event: dict[str, Any]) -> None:
        nonlocal accepted
        accepted += types(Dialogue().take(Dialogue().engine.receive(json.dumps(event)))) != [
            "error"
        ]

    count()
    assert accepted >= 3


happenings = st.one_of(
    st.tuples(st.just("speech_started"), st.integers(0, 3000)),
    st.tuples(st.just("speech_stopped"), st.integers(0, 3000)),
    st.tuples(st.just("stayed_silent"), st.integers(0, 1000), st.integers(1000, 3000)),
    st.just(("speak_up",)),
    st.just(("transcribed",)),
    st.just(("transcription_failed",)),
    st.tuples(st.just("say"), st.sampled_from(["", "word "]), st.sampled_from([b"", 20 * MS])),
    st.just(("call",)),
    st.just(("finish",)),
    st.just(("fail",)),
    st.just(("append",)),
)
junk = st.one_of(
    st.text(max_size=20),
    st.binary(max_size=5),
    st.dictionaries(st.sampled_from(["type", "event_id", "item"]), st.none() | st.integers()).map(
        json.dumps
    ),
)


def happen(talk: Dialogue, what: tuple[Any, ...]) -> None:
    engine, (name, *values) = talk.engine, what
    responses = [each.response.id for each in talk.commands if isinstance(each, Generate)]
    heard = [each.item_id for each in talk.commands if isinstance(each, Transcribe)]
    match name:
        case "append":
            talk.append(250)
        case "transcribed":
            talk.take(engine.transcribed((heard or ["none"])[-1], "hello"))
        case "transcription_failed":
            talk.take(engine.transcription_failed((heard or ["none"])[-1], "it broke"))
        case "say":
            talk.take(engine.say((responses or ["none"])[-1], *values))
        case "call":
            talk.take(engine.call((responses or ["none"])[-1], "f", "{}"))
        case "finish":
            talk.take(engine.finish((responses or ["none"])[-1]))
        case "fail":
            talk.take(engine.fail((responses or ["none"])[-1], "server_error", "it broke"))
        case _:
            talk.take(getattr(engine, name)(*values))


@settings(max_examples=300)
@given(
    kind=st.sampled_from(["realtime", "transcription"]),
    steps=st.lists(st.one_of(generate.events(), happenings, junk), max_size=25),
)
def test_sequences(kind: str, steps: list[Any]) -> None:
    talk = Dialogue(kind)
    for step in steps:
        match step:
            case dict():
                talk.take(talk.engine.receive(json.dumps(step)))
            case tuple():
                happen(talk, step)
            case _:
                talk.take(talk.engine.receive(step))
        assert len(talk.engine.conversation) <= 1000
    orders.check(talk.events)
