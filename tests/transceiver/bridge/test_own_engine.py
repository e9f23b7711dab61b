"""The bridge and our own engine, which speak to each other in real calls: both are real here."""

import json
from typing import Any

from tests.transceiver.bridge.dialogue import told
from tests.transceiver.realtime.dialogue import MS
from tests.transceiver.realtime.dialogue import Dialogue as Service
from transceiver.bridge.core import Bridge, Command, ToService
from transceiver.bridge.settings import SessionSettings
from transceiver.realtime.commands import Generate


class Both:
    """A client's events go through the bridge to the engine, and what comes back to the client."""

    def __init__(self) -> None:
        self.service = Service()
        self.bridge = Bridge(lambda: "event_b", SessionSettings({}))
        self.now = 0.0
        self.pass_on(self.service.begun)

    def client(self, kind: str, **fields: Any) -> list[str]:
        """The client sends an event; what it is told."""
        return self._do(self.bridge.from_client(json.dumps({"type": kind, **fields}), self.now))

    def pass_on(self, events: list[dict[str, Any]]) -> list[str]:
        found = []
        for each in events:
            found += self._do(self.bridge.from_service(json.dumps(each), self.now))
        return found

    def begin(self, **response: Any) -> str:
        """The client asks for a response; its id."""
        self.client("response.create", response=response)
        return self.service.last(Generate).response.id

    def say(self, response: str, ms: int) -> list[str]:
        engine = self.service.engine
        return self.pass_on(self.service.take(engine.say(response, "Well. ", ms * MS)))

    def plays(self, frames: int) -> list[str]:
        """Play so many frames; what the client is told, and `-` for each of silence."""
        found = []
        for _ in range(frames):
            frame, commands = self.bridge.speak(self.now)
            self.now += 0.02
            found += self._do(commands) + (["-"] if frame is None else [])
        return found

    def _do(self, commands: list[Command]) -> list[str]:
        found = []
        for each in commands:
            if isinstance(each, ToService):
                found += self.pass_on(self.service.take(self.service.engine.receive(each.text)))
            else:
                found += told([each])
        return found


def test_a_response_beside_the_conversation_leaves_the_spoken_one_alone() -> None:
    both = Both()
    spoken = both.begin()
    both.say(spoken, 100)
    assert both.plays(5) == [f"client: output_audio_buffer.started response_id={spoken}"]
    both.begin(conversation="none", output_modalities=["text"])
    assert both.plays(2) == ["-", "-"], "it goes on, though no sound waits"
    both.say(spoken, 100)
    assert both.plays(5) == []
    both.pass_on(both.service.take(both.service.engine.finish(spoken)))
    assert both.plays(1) == [f"client: output_audio_buffer.stopped response_id={spoken}", "-"]


def test_who_ends_the_response_does_not_end_the_one_beside() -> None:
    both = Both()
    spoken = both.begin()
    both.say(spoken, 100)
    both.plays(1)
    beside = both.begin(conversation="none")
    cancelled = both.client("response.cancel")
    assert [each for each in cancelled if "response.done" in each] == ["client: response.done"]
    both.client("output_audio_buffer.clear")
    assert both.plays(1) == ["-"]
    both.say(beside, 40)
    assert both.plays(2) == [f"client: output_audio_buffer.started response_id={beside}"]


def test_speech_ends_the_spoken_one_alone() -> None:
    both = Both()
    spoken = both.begin()
    both.say(spoken, 100)
    both.plays(1)
    beside = both.begin(conversation="none")
    both.service.append(500)
    heard = both.pass_on(both.service.take(both.service.engine.speech_started(100)))
    assert heard[0].startswith("client: input_audio_buffer.speech_started")
    assert f"client: output_audio_buffer.cleared response_id={spoken}" in heard
    both.say(beside, 40)
    assert both.plays(2) == [f"client: output_audio_buffer.started response_id={beside}"]
