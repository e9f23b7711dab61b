"""What a client of a data channel gets: the service's events and ours, each as the schema has it.

The engine of a Realtime server stands behind the bridge. Whatever the client sends, in whatever
order, and whatever happens meanwhile, each event parses as the official Python package has it, in
an order that clients understand, and each of theirs is answered.
"""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transceiver.realtime import generate, orders, strict
from tests.transceiver.realtime.dialogue import MS, Dialogue, types
from tests.transceiver.realtime.strict import client_models
from tests.transceiver.realtime.test_fuzz import ANSWERS, happen, happenings, junk
from transceiver.bridge.core import Bridge, Command, ToClient
from transceiver.bridge.settings import SessionSettings
from transceiver.realtime.commands import Generate

SOUND = ("response.output_audio.delta", "response.output_audio.done")


class Call:
    """A client, a bridge and a service.

    Attributes:
        service: The service, as its client talks to it.
        told: The events that the client got.
    """

    def __init__(self) -> None:
        numbers = itertools.count()
        self.service = Dialogue()
        self.told: list[dict[str, Any]] = []
        self._bridge = Bridge(lambda: f"event_b{next(numbers)}", SessionSettings({}, ""))
        self._passed = 0
        self._now = 0.0
        self.take(self._bridge.connected())

    def take(self, commands: list[Command]) -> list[dict[str, Any]]:
        """Do what the bridge says, and whatever comes of that; what the client is told."""
        before, waiting = len(self.told), list(commands)
        while True:
            for command in waiting:
                if isinstance(command, ToClient):
                    event = json.loads(command.text)
                    strict.check(event)
                    assert event["type"] not in SOUND[:1], "sound is sent by RTP"
                    self.told.append(event)
                else:
                    self.service.take(self.service.engine.receive(command.text))
            waiting = []
            events = self.service.events[self._passed :]
            self._passed += len(events)
            if not events:
                return self.told[before:]
            for each in events:
                waiting += self._bridge.from_service(json.dumps(each), self._now)

    def send(self, message: str | bytes) -> list[dict[str, Any]]:
        return self.take(self._bridge.from_client(message, self._now))

    def play(self, frames: int) -> list[dict[str, Any]]:
        """Play so many frames; what the client is told of that."""
        before = len(self.told)
        for _ in range(frames):
            self._now += 0.02
            self.take(self._bridge.speak(self._now)[1])
        return self.told[before:]

    def respond(self, **response: Any) -> str:
        """The client asks for a response; its id."""
        self.send(json.dumps({"type": "response.create", "response": response}))
        return self.service.last(Generate).response.id

    def say(self, response: str, frames: int) -> None:
        """The service says a piece of a response."""
        self.service.take(self.service.engine.say(response, "Well. ", 20 * frames * MS))
        self.take([])

    def lose(self) -> None:
        """The service is lost, with its session, and another one comes."""
        self.take(self._bridge.lost("it went away"))
        self.service = Dialogue()
        self._passed = 0
        self.take(self._bridge.connected())


@pytest.mark.parametrize("kind", ANSWERS)
@settings(max_examples=40)
@given(data=st.data())
def test_each_event_of_a_client_is_answered(kind: str, data: st.DataObject) -> None:
    call = Call()
    manual = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    call.send(json.dumps({"type": "session.update", "session": manual}))
    call.service.append(200)
    call.service.write("hello", id="a")
    call.take([])
    answer = call.send(json.dumps(data.draw(generate.model(client_models()[kind]))))
    if types(answer) == ["error"]:
        assert answer[0]["error"]["code"]
        assert answer[0]["error"]["message"]
    elif kind == "output_audio_buffer.clear":
        assert types(answer) == ["output_audio_buffer.cleared"]
    else:
        assert types(answer) in ANSWERS[kind]


@settings(max_examples=200)
@given(
    st.lists(
        st.one_of(
            generate.events(),
            happenings,
            junk,
            st.integers(1, 8),  # frames that are played
        ),
        max_size=25,
    )
)
def test_events_are_as_they_must_be_in_any_sequence(steps: list[Any]) -> None:
    call = Call()
    for step in steps:
        match step:
            case int():
                call.play(step)
            case tuple():
                happen(call.service, step)
                call.take([])
            case dict():
                call.send(json.dumps(step))
            case _:
                call.send(step)
    orders.check([each for each in call.told if each["type"] not in SOUND])
    _check_buffer(call.told)


@settings(max_examples=50)
@given(st.lists(st.one_of(generate.events(), happenings, st.integers(1, 8)), max_size=15))
def test_events_of_a_lost_service_are_as_they_must_be(steps: list[Any]) -> None:
    call = Call()
    for step in [*steps, None, *steps]:
        match step:
            case None:
                call.lose()
            case int():
                call.play(step)
            case tuple():
                happen(call.service, step)
                call.take([])
            case _:
                call.send(json.dumps(step))
    _check_buffer(call.told)


def buffer(told: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What is told of playing, and of which response."""
    kind = "output_audio_buffer."
    return [
        (each["type"].removeprefix(kind), each["response_id"])
        for each in told
        if each["type"].startswith(kind)
    ]


class TestBeside:
    """A response beside the conversation, while one of it is spoken."""

    def test_it_leaves_the_spoken_one_alone(self) -> None:
        call = Call()
        spoken = call.respond()
        call.say(spoken, 5)
        assert buffer(call.play(5)) == [("started", spoken)]
        call.respond(conversation="none", output_modalities=["text"])
        assert call.play(2) == [], "it goes on, though no sound waits"
        call.say(spoken, 5)
        assert call.play(5) == []
        call.service.take(call.service.engine.finish(spoken))
        call.take([])
        assert buffer(call.play(1)) == [("stopped", spoken)]

    def test_who_cancels_the_spoken_one_hears_it_still(self) -> None:
        call = Call()
        spoken = call.respond()
        call.say(spoken, 5)
        call.play(1)
        beside = call.respond(conversation="none")
        (done,) = call.send('{"type": "response.cancel"}')[-1:]
        assert done["response"]["id"] == spoken
        call.send('{"type": "output_audio_buffer.clear"}')
        call.say(beside, 2)
        assert buffer(call.play(2)) == [("started", beside)]

    def test_who_interrupts_the_spoken_one_hears_it_still(self) -> None:
        call = Call()
        spoken = call.respond()
        call.say(spoken, 5)
        call.play(1)
        beside = call.respond(conversation="none")
        call.service.append(500)
        call.service.take(call.service.engine.speech_started(100))
        assert buffer(call.take([])) == [("cleared", spoken)]
        call.say(beside, 2)
        assert buffer(call.play(2)) == [("started", beside)]


def _check_buffer(events: list[dict[str, Any]]) -> None:
    """What plays has begun, and ends once."""
    playing = None
    for event in events:
        match event["type"]:
            case "output_audio_buffer.started":
                assert playing is None
                playing = event["response_id"]
            case "output_audio_buffer.stopped":
                assert event["response_id"] == playing
                playing = None
            case "output_audio_buffer.cleared":
                assert playing in (None, event["response_id"])
                playing = None
