"""A back end for tests of the page: it sends the events of a spoken answer, and a tone."""

import itertools
import json
import math
import struct
from typing import TYPE_CHECKING, Any

from transceiver.backend import EVENTS_LABEL, Channel, Wanted
from transceiver.media.events import KeyPress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RATE = 24_000
FRAME = 480  # samples, 20 ms
ANSWER = "It is ten o'clock in the morning."
LONG = 500  # frames: whoever is not interrupted speaks for 10 s
HEARD = "What time is it?"
TONE = [
    struct.pack(
        f"<{FRAME}h",
        *(int(8000 * math.sin(2 * math.pi * 440 * (first + each) / RATE)) for each in range(FRAME)),
    )
    for first in range(0, RATE, FRAME)
]


class TellerBackend:
    """Answers each `response.create`, in the order of the Realtime API. See `Backend`.

    Args:
        session_id: Names the session in events.
    """

    def __init__(self, session_id: str, _: Wanted) -> None:
        self._events: Channel | None = None
        self._ids = itertools.count(1)
        self._frames: Iterator[bytes] = iter(())
        self._response: str | None = None
        self._answer = ""  # the item of the response
        self._last: str | None = None  # the newest item
        self._session: dict[str, Any] = {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": "teller",
            "audio": {"input": {"turn_detection": {"type": "server_vad"}, "transcription": None}},
        }

    def hear(self, frame: bytes) -> None:
        """See `Backend`."""

    def speak(self) -> bytes | None:
        """See `Backend`."""
        return next(self._frames, None)

    def late(self, seconds: float) -> None:
        """See `Backend`."""

    def stats(self) -> dict[str, Any]:
        """See `Backend`."""
        return {"backend": "teller"}

    def digit(self, press: KeyPress) -> None:
        """See `Backend`."""

    def error(self, channel: Channel | None, why: str) -> None:
        """See `Backend`."""

    def close(self, *, kept: bool = False) -> None:
        """See `Backend`."""

    def channel(self, channel: Channel) -> None:
        """See `Backend`."""
        if channel.label == EVENTS_LABEL:
            self._events = channel
            self._send("session.created", session=self._session)

    def look_on(self, channel: Channel) -> None:
        """See `Backend`; nobody does."""

    def message(self, _: Channel, message: str | bytes) -> None:
        """See `Backend`."""
        event = json.loads(message)
        handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "session.update": self._update,
            "conversation.item.create": self._create,
            "input_audio_buffer.commit": self._commit,
            "response.create": self._respond,
            "response.cancel": self._cancel,
            "output_audio_buffer.clear": self._clear,
            "input_audio_buffer.clear": lambda _: self._send("input_audio_buffer.cleared"),
        }
        handlers[event["type"]](event)

    def _send(self, kind: str, **content: Any) -> None:
        assert self._events is not None
        event = {"type": kind, "event_id": f"event_{next(self._ids)}", **content}
        assert self._events.send(json.dumps(event))

    def _update(self, event: dict[str, Any]) -> None:
        self._session["audio"]["input"] |= event["session"]["audio"]["input"]
        self._send("session.updated", session=self._session)

    def _item(self, kind: str, item: dict[str, Any]) -> None:
        self._send(f"conversation.item.{kind}", item=item, previous_item_id=self._last)

    def _create(self, event: dict[str, Any]) -> None:
        item = event["item"] | {"object": "realtime.item", "status": "completed"}
        self._item("added", item)
        self._item("done", item)
        self._last = item["id"]

    def _commit(self, _: dict[str, Any]) -> None:
        item_id = f"item_{next(self._ids)}"
        self._send("input_audio_buffer.committed", item_id=item_id, previous_item_id=self._last)
        content = [{"type": "input_audio", "transcript": None}]
        item = {"id": item_id, "type": "message", "role": "user", "content": content}
        self._item("added", item)
        self._item("done", item)
        self._last = item_id
        said = {"item_id": item_id, "content_index": 0}
        written = "conversation.item.input_audio_transcription"
        self._send(f"{written}.delta", delta=HEARD[:4], **said)
        self._send(f"{written}.completed", transcript=HEARD, **said)

    def _respond(self, _: dict[str, Any]) -> None:
        if self._response is not None:
            error = {"code": "conversation_already_has_active_response", "message": "One at a time"}
            self._send("error", error={"type": "invalid_request_error", **error})
            return
        self._response, item_id = f"resp_{next(self._ids)}", f"item_{next(self._ids)}"
        response = {"id": self._response, "status": "in_progress", "output": []}
        self._send("response.created", response=response)
        item = {"id": item_id, "type": "message", "role": "assistant", "content": []}
        where = {"response_id": self._response, "output_index": 0}
        self._send("response.output_item.added", item=item, **where)
        self._item("added", item)
        part = where | {"item_id": item_id, "content_index": 0}
        self._send("response.content_part.added", part={"type": "audio", "transcript": ""}, **part)
        self._send("output_audio_buffer.started", response_id=self._response)
        for word in ANSWER.split(" ")[:3]:
            self._send("response.output_audio_transcript.delta", delta=word + " ", **part)
        self._last = self._answer = item_id
        self._frames = itertools.islice(itertools.cycle(TONE), LONG)

    def _cancel(self, _: dict[str, Any]) -> None:
        if self._response is None:
            error = {"code": "response_cancel_not_active", "message": "Cancellation failed"}
            self._send("error", error={"type": "invalid_request_error", **error})
            return
        item = {"id": self._answer, "type": "message", "role": "assistant", "status": "incomplete"}
        output = [item | {"content": [{"type": "output_audio", "transcript": "It is ten"}]}]
        response = {"id": self._response, "status": "cancelled", "output": output}
        details = {"type": "cancelled", "reason": "client_cancelled"}
        self._response = None
        self._send("response.done", response=response | {"status_details": details})

    def _clear(self, _: dict[str, Any]) -> None:
        self._frames = iter(())
        self._send("output_audio_buffer.cleared", response_id=self._response)
