"""The engine of a Realtime server: a client's events in, the server's events and commands out.

It has no sockets, tasks or clocks. Who runs it gives it the client's messages, tells it what
happens (speech, transcripts, pieces of a response), and does the commands that it gets back, in
their order.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from transceiver.realtime.beta import modern
from transceiver.realtime.commands import Close, Command
from transceiver.realtime.conversation import Conversation
from transceiver.realtime.desk import Desk
from transceiver.realtime.errors import EventError, error_event
from transceiver.realtime.fields import choice, missing, text, whole
from transceiver.realtime.hearing import Hearing
from transceiver.realtime.items import item_id, read_item
from transceiver.realtime.replies import Replies, voice_is_fixed
from transceiver.realtime.responses import Response
from transceiver.realtime.session import Session
from transceiver.realtime.sound import decoder

MAX_COMMAS = 1 << 18  # of a message: large ones are sound, which has none; parsing takes 0.1 s
NORMAL_CLOSURE = 1000  # RFC 6455, 7.4.1

_event_id = text(512)
_some_id = text()
_count = whole(0, 1 << 30)


class Engine:
    """A session with its conversation.

    Args:
        session: As it begins.
        new_id: Makes an id that is new in this session from a prefix: ``item`` gives ``item_...``.
    """

    def __init__(self, session: Session, new_id: Callable[[str], str]) -> None:
        self._desk = Desk(session, new_id)
        self._replies = Replies(self._desk)
        self._hearing = Hearing(self._desk, self._turn_ended)
        self._handlers: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._hearing.append,
            "input_audio_buffer.commit": self._hearing.commit,
            "input_audio_buffer.clear": self._hearing.clear,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._retrieve_item,
            "conversation.item.delete": self._delete_item,
            "conversation.item.truncate": self._truncate_item,
            "response.create": self._replies.create,
            "response.cancel": self._replies.cancel,
            "output_audio_buffer.clear": lambda _: None,  # of WebRTC; here nothing plays
        }
        self._known = choice(*self._handlers)

    @property
    def session(self) -> Session:
        """The session as it is now."""
        return self._desk.session

    @property
    def conversation(self) -> Conversation:
        """Its items."""
        return self._desk.conversation

    @property
    def active(self) -> Response | None:
        """The conversation's response that is being made."""
        return self._replies.active

    @property
    def size(self) -> int:
        """Bytes of sound, text and images that it holds."""
        return self.conversation.size + self._hearing.size

    def begin(self) -> list[Command]:
        """The client is there, for the first time or after a `pause`."""
        self._desk.send("session.created", session=self.session.as_event())
        self._hearing.listen()
        return self._desk.taken()

    def pause(self) -> list[Command]:
        """The client is gone, and may come back: what it says and hears ends here."""
        self._hearing.forget()
        self._replies.abandon()
        return self._desk.taken()

    def receive(self, message: str | bytes) -> list[Command]:
        """A message of the client."""
        event_id = None
        try:
            event = _read(message)
            if event.get("event_id") is not None:
                event_id = _event_id(event["event_id"], "event_id")
            event = modern(event)
            if event.get("type") is None:
                raise missing("type")
            self._handlers[self._known(event["type"], "type")](event)
        except EventError as error:
            event = error_event(error.code, str(error), param=error.param, event_id=event_id)
            self._desk.emit([event])
        return self._desk.taken()

    def speech_started(self, start_ms: int) -> list[Command]:
        """The client speaks, since a time of all the sound that it has sent."""
        if self._hearing.speech_started(start_ms):
            detection = self.session.turn_detection or {}
            self._replies.interrupt(stop=bool(detection.get("interrupt_response")))
        return self._desk.taken()

    def turn_until(self, end_ms: int) -> bytes:
        """The sound of the client's turn that goes on, up to a time of all its sound, PCM16."""
        return self._hearing.turn_until(end_ms)

    def speech_stopped(self, end_ms: int) -> list[Command]:
        """The client's turn has ended, at a time of all the sound that it has sent."""
        self._hearing.speech_stopped(end_ms)
        return self._desk.taken()

    def stayed_silent(self, start_ms: int, end_ms: int) -> list[Command]:
        """The client has said nothing for its session's `idle_timeout_ms`, between these times."""
        if self.session.turn_detection is not None and self._replies.active is None:
            self._hearing.stayed_silent(start_ms, end_ms)
        return self._desk.taken()

    def speak_up(self) -> list[Command]:
        """The server has something to say without being asked, at once or after what it says."""
        self._replies.answer_turn()
        return self._desk.taken()

    def transcribed(self, name: str, said: str) -> list[Command]:
        """What is said in the sound of an item."""
        self._hearing.transcribed(name, said)
        return self._desk.taken()

    def transcription_failed(self, name: str, why: str) -> list[Command]:
        """Nobody could find out what is said in the sound of an item."""
        self._hearing.transcription_failed(name, why)
        return self._desk.taken()

    def say(self, response_id: str, words: str = "", sound: bytes = b"") -> list[Command]:
        """A piece of a response is there; one of a response that has ended is dropped."""
        self._replies.say(response_id, words, sound)
        return self._desk.taken()

    def call(self, response_id: str, name: str, arguments: str) -> list[Command]:
        """A response calls a function of the client's; the arguments are JSON."""
        self._replies.call(response_id, name, arguments)
        return self._desk.taken()

    def finish(self, response_id: str) -> list[Command]:
        """A response has been made to its end."""
        self._replies.finish(response_id)
        return self._desk.taken()

    def fail(self, response_id: str, code: str, why: str) -> list[Command]:
        """A response could not be made."""
        self._replies.fail(response_id, code, why)
        return self._desk.taken()

    def expire(self) -> list[Command]:
        """The session is as old as one may be."""
        message = "Your session hit the maximum duration of 60 minutes."
        self._desk.emit([error_event("session_expired", message)])
        self._desk.do(Close(NORMAL_CLOSURE, "session_expired"))
        return self._desk.taken()

    def _turn_ended(self) -> None:
        detection = self.session.turn_detection
        if detection and detection["create_response"]:
            self._replies.answer_turn()

    def _update(self, event: dict[str, Any]) -> None:
        new, old = self.session.updated(event.get("session")), self.session
        self._allow(new, old)
        self._desk.session = new
        if new.input["format"] != old.input["format"]:
            self._hearing.format_changed()
        self._desk.send("session.updated", session=new.as_event())
        if new.turn_detection != old.turn_detection:
            self._hearing.listen()

    def _allow(self, new: Session, old: Session) -> None:
        """See that what has changed in a session may change now."""
        if new.kind != old.kind:
            if len(self.conversation) or not (self._hearing.is_unused and self._replies.is_idle):
                raise EventError(
                    "invalid_value",
                    f"A {old.kind} session cannot become a {new.kind} session once it is in use.",
                    "session.type",
                )
            return
        if new.kind == "transcription":
            return
        before, after = old.config["audio"]["output"], new.config["audio"]["output"]
        if before["voice"] != after["voice"] and self._replies.has_sounded:
            raise voice_is_fixed("session.audio.output.voice")
        if before["speed"] != after["speed"] and self._replies.active is not None:
            raise EventError(
                "invalid_value",
                "The speed can be changed between turns only, not while a response is in progress.",
                "session.audio.output.speed",
            )

    def _create_item(self, event: dict[str, Any]) -> None:
        after = event.get("previous_item_id")
        if after is not None:
            after = item_id(after, "previous_item_id")
        decode = decoder(self.session.input["format"])
        item = read_item(event.get("item"), "item", self._desk.new_id, decode)
        self.conversation.check_place(item, after)
        self._desk.add(item, after)
        self._hearing.ask(item)

    def _retrieve_item(self, event: dict[str, Any]) -> None:
        name = _item_id(event)
        item = self.conversation.get(name)
        if item is None:
            raise _no_item("item_retrieve_invalid_item_id", "retrieving", name)
        self._desk.send("conversation.item.retrieved", item=item.as_event(whole=True))

    def _delete_item(self, event: dict[str, Any]) -> None:
        name = _item_id(event)
        if not self.conversation.delete(name):
            raise _no_item("item_delete_invalid_item_id", "deleting", name)
        self._hearing.deleted(name)
        self._desk.send("conversation.item.deleted", item_id=name)

    def _truncate_item(self, event: dict[str, Any]) -> None:
        name, cut = _item_id(event), {}
        for field in ("content_index", "audio_end_ms"):
            if event.get(field) is None:
                raise missing(field)
            cut[field] = _count(event[field], field)
        self.conversation.truncate(name, cut["content_index"], cut["audio_end_ms"])
        self._desk.send("conversation.item.truncated", item_id=name, **cut)


def _read(message: str | bytes) -> dict[str, Any]:
    if isinstance(message, bytes):
        raise EventError("invalid_event", "Events are JSON in text frames; this one was binary.")
    if message.count(",") > MAX_COMMAS:
        raise EventError("invalid_event", f"An event may have {MAX_COMMAS} values.")
    try:
        event = json.loads(message, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise EventError("invalid_json", "The message is not JSON.") from None
    if not isinstance(event, dict):
        raise EventError("invalid_event", "An event is a JSON object.")
    return event


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _item_id(event: dict[str, Any]) -> str:
    if event.get("item_id") is None:
        raise missing("item_id")
    name: str = _some_id(event["item_id"], "item_id")
    return name


def _no_item(code: str, doing: str, name: str) -> EventError:
    return EventError(code, f"Error {doing} item: there is no item with id '{name}'.", "item_id")
