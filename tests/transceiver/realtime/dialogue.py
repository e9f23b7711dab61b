"""A client that talks to an engine; each event that it gets is checked."""

import base64
import itertools
import json
from collections import Counter
from typing import Any, TypeVar

from tests.transceiver.realtime import strict
from transceiver.realtime.commands import Command, Generate, Send
from transceiver.realtime.engine import Engine
from transceiver.realtime.session import Session

Kind = TypeVar("Kind")
MS = b"\1\0" * 24  # a millisecond of sound


class Dialogue:
    """See the module. Methods of the engine are called by `do`, and give the events."""

    def __init__(self, kind: str = "realtime") -> None:
        self._numbers = itertools.count(1)
        session = Session.new("sess_1", "a-model", "a-voice", 3600, kind)
        self.engine = Engine(session, self._new_id)
        self.commands: list[Command] = []
        self.events: list[dict[str, Any]] = []
        self.ids: Counter[str] = Counter()
        self.begun = self.take(self.engine.begin())

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._numbers)}"

    def take(self, commands: list[Command]) -> list[dict[str, Any]]:
        self.commands += commands
        events = [each.event for each in commands if isinstance(each, Send)]
        for event in events:
            strict.check(json.loads(json.dumps(event)))
            self.ids[event["event_id"]] += 1
            assert self.ids[event["event_id"]] == 1
        self.events += events
        return events

    def tell(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """Send an event; the events that come back."""
        return self.take(self.engine.receive(json.dumps({"type": kind, **fields})))

    def append(self, ms: int) -> list[dict[str, Any]]:
        return self.say(ms * MS)

    def say(self, sound: bytes) -> list[dict[str, Any]]:
        audio = base64.b64encode(sound).decode()
        return self.tell("input_audio_buffer.append", audio=audio)

    def write(self, text: str, **fields: Any) -> list[dict[str, Any]]:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content, **fields}
        return self.tell("conversation.item.create", item=item)

    def last(self, kind: type[Kind]) -> Kind:
        return next(each for each in reversed(self.commands) if isinstance(each, kind))

    def respond(self, **response: Any) -> str:
        """Ask for a response; its id."""
        self.tell("response.create", response=response)
        return self.last(Generate).response.id

    def error(self, events: list[dict[str, Any]]) -> tuple[str, str | None]:
        """Code and parameter of the one error that there is."""
        (event,) = events
        assert event["type"] == "error"
        return event["error"]["code"], event["error"].get("param")


def types(events: list[dict[str, Any]]) -> list[str]:
    return [each["type"] for each in events]
