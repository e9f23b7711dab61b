"""A response: how it is asked for, and its events in their order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from transceiver.realtime.conversation import Conversation
from transceiver.realtime.errors import EventError
from transceiver.realtime.fields import Check, record, text
from transceiver.realtime.items import Item, Part
from transceiver.realtime.session import ANSWERING, Session, one_modality, voice_name
from transceiver.realtime.sound import audio_format, encoded, encoder
from transceiver.realtime.usage import item_tokens, text_tokens, usage

MAX_METADATA = 16  # pairs

Event = dict[str, Any]


def _metadata(value: Any, param: str) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > MAX_METADATA:
        raise EventError(
            "invalid_value", f"`{param}` must be an object of {MAX_METADATA} pairs at most.", param
        )
    key, content = text(64), text(512)
    return {key(name, param): content(value[name], f"{param}.{name}") for name in value}


def _conversation(value: Any, param: str) -> str:
    if value not in ("auto", "none"):
        raise EventError("invalid_value", f"`{param}` must be 'auto' or 'none'.", param)
    return str(value)


_output = record({"format": audio_format, "voice": voice_name})
_OVERRIDES: Mapping[str, Check] = ANSWERING | {
    "audio": record({"output": _output}),
    "conversation": _conversation,
    "metadata": _metadata,
}
_overrides = record(_OVERRIDES)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a response is to be: the session's settings, but for those of its own.

    Attributes:
        instructions: What the client tells the model.
        tools: The functions that may be called.
        tool_choice: Which of them must be.
        speaks: Whether it is said, or only written.
        form: The format of its sound.
        voice: The name of its voice.
        speed: How fast it is said; 1 is as usual.
        most: The most tokens; None for any number.
        kept: Whether it belongs to the conversation.
        metadata: What the client has given with it, which comes back.
    """

    instructions: str
    tools: list[dict[str, Any]]
    tool_choice: Any
    speaks: bool
    form: dict[str, Any]
    voice: str
    speed: float
    most: int | None
    kept: bool = True
    metadata: dict[str, str] | None = None

    @classmethod
    def of(cls, session: Session, asked: object) -> "Wish":
        """What the `response` of a client's `response.create` asks for, in a session.

        Raises:
            EventError: It is wrong.
        """
        given = {} if asked is None else one_modality(_overrides(asked, "response"))
        own = {name: value for name, value in given.items() if value is not None}
        config = {**session.config, **own}
        output = session.config["audio"]["output"]
        changed = (own.get("audio") or {}).get("output") or {}
        output = output | {name: each for name, each in changed.items() if each is not None}
        most, named = config["max_output_tokens"], output["voice"]
        return cls(
            instructions=config["instructions"],
            tools=config["tools"],
            tool_choice=config["tool_choice"],
            speaks="audio" in config["output_modalities"],
            form=output["format"],
            voice=named["id"] if isinstance(named, dict) else named,
            speed=output["speed"],
            most=None if most == "inf" else most,
            kept=own.get("conversation") != "none",
            metadata=own.get("metadata"),
        )


class Response:
    """A response on its way. Its methods give the events that they cause, without event ids.

    Args:
        response_id: Its name, ``resp_...``.
        wish: What it is to be.
        history: What it answers.
        conversation: Where its items go, where it belongs to one.
        conversation_id: The name of that.
        new_id: Makes an id from a prefix.

    Attributes:
        is_done: Whether it has ended.
        has_sounded: Whether any sound of it has gone out.
    """

    def __init__(
        self,
        response_id: str,
        wish: Wish,
        history: list[Item],
        *,
        conversation: Conversation | None,
        conversation_id: str,
        new_id: Callable[[str], str],
    ) -> None:
        self.id = response_id
        self.wish = wish
        self.history = history
        self.is_done = False
        self.has_sounded = False
        self._conversation = conversation
        self._conversation_id = conversation_id
        self._new_id = new_id
        self._output: list[Item] = []
        self._open: Item | None = None  # the message that is being said
        self._said = ""  # its words
        self._encode = encoder(wish.form)
        self._status: Event = {"status": "in_progress"}

    def begin(self) -> list[Event]:
        """It has been asked for."""
        return [{"type": "response.created", "response": self._as_event()}]

    def say(self, words: str, sound: bytes = b"") -> list[Event]:
        """The next piece of it: words, PCM16 of them where it speaks, or both."""
        events, item = self._message()
        part = item.content[0]
        place = self._place(item) | {"content_index": 0}
        if words:
            self._said += words
            part.text = None if part.is_cut else self._said
            kind = "output_audio_transcript" if self.wish.speaks else "output_text"
            events.append({"type": f"response.{kind}.delta", **place, "delta": words})
        if sound and self.wish.speaks:
            part.sounded += 0 if part.is_cut else len(sound)
            self.has_sounded = True
            delta = encoded(self._encode(sound))
            events.append({"type": "response.output_audio.delta", **place, "delta": delta})
        return events

    def call(self, name: str, arguments: str) -> list[Event]:
        """It calls a function of the client's; the arguments are JSON."""
        events = self._close_message("completed")
        fields = {"call_id": self._new_id("call"), "name": name, "arguments": ""}
        item = Item(self._new_id("item"), "function_call", status="in_progress", fields=fields)
        events += self._add(item)
        item.fields, item.status = fields | {"arguments": arguments}, "completed"
        place = self._place(item) | {"call_id": fields["call_id"]}
        kind = "response.function_call_arguments"
        events.append({"type": f"{kind}.delta", **place, "delta": arguments})
        events.append({"type": f"{kind}.done", **place, "name": name, "arguments": arguments})
        return events + self._done(item)

    def complete(self) -> list[Event]:
        """It has been said to its end."""
        return self._end("completed", {"type": "completed"}, "completed")

    def cancel(self, reason: str) -> list[Event]:
        """It is not wanted any more: `turn_detected` or `client_cancelled`."""
        return self._end("cancelled", {"type": "cancelled", "reason": reason}, "incomplete")

    def cut(self) -> list[Event]:
        """It has as many tokens as it may have."""
        details = {"type": "incomplete", "reason": "max_output_tokens"}
        return self._end("incomplete", details, "incomplete")

    def fail(self, code: str, message: str) -> list[Event]:
        """It could not be made."""
        error = {"type": "server_error", "code": code, "message": message}
        return self._end("failed", {"type": "failed", "error": error}, "incomplete")

    @property
    def is_too_long(self) -> bool:
        """Whether it has more tokens than it may have."""
        return self.wish.most is not None and sum(item_tokens(self._output)) > self.wish.most

    def _end(self, status: str, details: Event, of_items: str) -> list[Event]:
        events = self._close_message(of_items)
        self.is_done = True
        self._status = {"status": status, "status_details": details}
        return [*events, {"type": "response.done", "response": self._as_event()}]

    def _message(self) -> tuple[list[Event], Item]:
        """The message that is being said, and the events that begin it, if it is new."""
        if self._open is not None:
            return [], self._open
        item = Item(self._new_id("item"), role="assistant", status="in_progress")
        events = self._add(item)
        item.content.append(Part("output_audio" if self.wish.speaks else "output_text", ""))
        self._open, self._said = item, ""
        place = self._place(item) | {"content_index": 0}
        events.append({"type": "response.content_part.added", **place, "part": self._part("")})
        return events, item

    def _close_message(self, status: str) -> list[Event]:
        item, self._open = self._open, None
        if item is None:
            return []
        item.status, said = status, self._said
        place = self._place(item) | {"content_index": 0}
        if self.wish.speaks:
            events: list[Event] = [
                {"type": "response.output_audio.done", **place},
                {"type": "response.output_audio_transcript.done", **place, "transcript": said},
            ]
        else:
            events = [{"type": "response.output_text.done", **place, "text": said}]
        part = {"type": "response.content_part.done", **place, "part": self._part(said)}
        return [*events, part, *self._done(item)]

    def _add(self, item: Item) -> list[Event]:
        self._output.append(item)
        shown = item.as_event()
        added: Event = {
            "type": "response.output_item.added",
            "response_id": self.id,
            "output_index": len(self._output) - 1,
            "item": shown,
        }
        if self._conversation is None:
            return [added]
        return [added, _in_conversation("added", shown, self._conversation.add(item))]

    def _done(self, item: Item) -> list[Event]:
        shown = item.as_event()
        place = self._place(item)
        del place["item_id"]
        done: list[Event] = [{"type": "response.output_item.done", **place, "item": shown}]
        if self._conversation is None or item.id not in self._conversation:
            return done
        before = self._conversation.before(item.id)
        return [_in_conversation("done", shown, before), *done]

    def _place(self, item: Item) -> Event:
        index = next(index for index, each in enumerate(self._output) if each is item)
        return {"response_id": self.id, "item_id": item.id, "output_index": index}

    def _part(self, said: str) -> Event:
        # Parts of events are called otherwise than those of items.
        if self.wish.speaks:
            return {"type": "audio", "transcript": said}
        return {"type": "text", "text": said}

    def _as_event(self) -> Event:
        wish = self.wish
        shown: Event = {
            "id": self.id,
            "object": "realtime.response",
            **self._status,
            "output": [each.as_event() for each in self._output] if self.is_done else [],
            "output_modalities": ["audio" if wish.speaks else "text"],
            "max_output_tokens": wish.most or "inf",
            "audio": {"output": {"format": wish.form, "voice": wish.voice}},
        }
        # Null says that it is beside the conversation; where nothing is said, it is in it.
        shown["conversation_id"] = self._conversation_id if wish.kept else None
        if wish.metadata is not None:
            shown["metadata"] = wish.metadata
        if self.is_done:
            shown["usage"] = self._usage()
        return shown

    def _usage(self) -> Event:
        if not self._output:
            return usage((0, 0), (0, 0))
        texts, sounds = item_tokens(self.history)
        heard = texts + text_tokens(self.wish.instructions), sounds
        return usage(heard, item_tokens(self._output))


def _in_conversation(what: str, item: Event, before: str | None) -> Event:
    event: Event = {"type": f"conversation.item.{what}", "item": item}
    return event if before is None else event | {"previous_item_id": before}
