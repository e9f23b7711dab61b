"""Back ends, which answer calls: the interface, and the built-in echo.

Sound is PCM, 24 kHz, mono, signed 16 bits, little endian, in frames of 20 ms: 960 bytes.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from relay.jsontext import as_json, length
from transceiver.media.events import KeyPress

EVENTS_LABEL = "oai-events"  # the channel of OpenAI's Realtime API over WebRTC
MAX_SESSION = 1 << 16  # bytes of JSON that updates may make of a session


class Channel(Protocol):
    """A data channel that is open.

    Attributes:
        label: Its name.
        longest: Bytes of the longest message that the client takes; 0 where it takes any.
    """

    label: str

    @property
    def longest(self) -> int:
        """See above; a channel may change it when its client makes a later offer."""

    @property
    def is_open(self) -> bool:
        """Whether it still is."""

    def send(self, message: str | bytes) -> bool:
        """Send a message; False if that is not possible now, or the client takes none so long."""


class Backend(Protocol):
    """What answers the client of one call. What it raises ends this call at most."""

    def hear(self, frame: bytes) -> None:
        """Take the next 20 ms of the client's sound."""

    def speak(self) -> bytes | None:
        """The next 20 ms of what the client is to hear; None for silence that is not sent."""

    def late(self, seconds: float) -> None:
        """What is spoken is heard by the client so much later; an estimate that changes."""

    def digit(self, press: KeyPress) -> None:
        """The client has pressed a key."""

    def channel(self, channel: Channel) -> None:
        """The client has opened a data channel."""

    def look_on(self, channel: Channel) -> None:
        """Somebody else takes part in the events of the call, on a channel of his own.

        An application's server does so as soon as the call is made, so before the client has any.
        """

    def message(self, channel: Channel, message: str | bytes) -> None:
        """A message came."""

    def error(self, channel: Channel | None, why: str) -> None:
        """Something of a channel, or of the call, was wrong; why, in words for the developer."""

    def stats(self) -> dict[str, Any]:
        """Its name, and what it has counted, for operators."""

    def close(self, *, kept: bool = False) -> None:
        """The call has ended.

        Args:
            kept: Whether its client may come back in another call, and go on.
        """


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client wants of a back end.

    Attributes:
        session: Its Realtime session, as it gave it when it placed the call; None without.
        model: What it asked for; None for whatever is there.
        principal: Who it is; None where nobody knows.
        region: Where it is, as the edge says; None where nobody does.
        transcribes: Whether it only wants to read what is said: a transcription session.
        resume: The name of the session that it goes on with; None for a new one.
        keep: The name under which its session is kept if it is lost; None where it is not.
    """

    session: Mapping[str, Any] | None = None
    model: str | None = None
    principal: str | None = None
    region: str | None = None
    transcribes: bool = False
    resume: str | None = field(default=None, repr=False)
    keep: str | None = field(default=None, repr=False)


NOTHING_WANTED = Wanted()
BackendFactory = Callable[[str, Wanted], Backend]  # from a session id


class EchoBackend:
    """Sends back the audio and the messages of the client.

    On the channel `oai-events` it also sends the events of the Realtime API that clients wait for:
    `session.created` when the channel opens, `session.updated` for each `session.update`, and
    `error`.

    Args:
        session_id: Names the session in events.
        wanted: Its session is what `session.created` begins with, if it can be.
    """

    def __init__(self, session_id: str, wanted: Wanted = NOTHING_WANTED) -> None:
        self._heard: bytes | None = None
        self._events: list[Channel] = []
        self._session: dict[str, Any] = {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": "echo",
        }
        self._update(wanted.session or {})

    def hear(self, frame: bytes) -> None:
        """See `Backend`."""
        self._heard = frame

    def speak(self) -> bytes | None:
        """See `Backend`."""
        frame, self._heard = self._heard, None
        return frame

    def late(self, seconds: float) -> None:
        """See `Backend`; an echo keeps no account of what was heard."""

    def digit(self, press: KeyPress) -> None:
        """See `Backend`; an echo hears no keys."""

    def channel(self, channel: Channel) -> None:
        """See `Backend`."""
        if channel.label == EVENTS_LABEL:
            self.look_on(channel)

    def look_on(self, channel: Channel) -> None:
        """See `Backend`; to an echo, all channels of events are alike."""
        self._events = [each for each in self._events if each.is_open]
        self._events.append(channel)
        channel.send(_event("session.created", session=self._session))

    def message(self, channel: Channel, message: str | bytes) -> None:
        """See `Backend`."""
        answer = self._answer(message) if channel in self._events else None
        if not channel.send(message if answer is None else answer):
            self.error(channel, "the echo of a message is too long for the client, or comes late")

    def error(self, channel: Channel | None, why: str) -> None:
        """See `Backend`."""
        for each in self._events:
            if channel is None or channel is each:
                each.send(_error(why))

    def stats(self) -> dict[str, Any]:
        """See `Backend`."""
        return {"name": "echo"}

    def close(self, *, kept: bool = False) -> None:
        """See `Backend`."""
        del kept  # of an echo there is nothing to go on with
        self._events.clear()

    def _answer(self, message: str | bytes) -> str | None:
        """The event that answers an event; None for what is none that an echo answers."""
        try:
            event = json.loads(message)
        except (ValueError, RecursionError):
            return None
        if not isinstance(event, dict) or event.get("type") != "session.update":
            return None
        update = event.get("session")
        if not isinstance(update, dict):
            return _error("`session` must be an object")
        why = self._update(update)
        return _error(why) if why else _event("session.updated", session=self._session)

    def _update(self, update: Mapping[str, Any]) -> str | None:
        """Update the session; returns why that is not possible, in words."""
        session = {**self._session, **update, "id": self._session["id"]}
        try:
            size = length(as_json(session, strict=True))
        except (ValueError, RecursionError):  # such as 1e999, which JSON cannot say
            return "`session` has a value that cannot be said in JSON"
        if size > MAX_SESSION:
            return "the session has become too large"
        self._session = session
        return None


def _error(message: str) -> str:
    return _event("error", error={"type": "invalid_request_error", "message": message})


def _event(kind: str, **content: dict[str, Any]) -> str:
    return as_json({"type": kind, "event_id": f"event_{secrets.token_hex(12)}", **content})
