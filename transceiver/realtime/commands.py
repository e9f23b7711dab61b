"""What an engine wants done by whoever runs it."""

from dataclasses import dataclass
from typing import Any

from transceiver.realtime.responses import Response


@dataclass(frozen=True, slots=True)
class Send:
    """Send an event to the client."""

    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listen:
    """Look for turns in the sound that comes from now on, in this way; None: no more.

    The time of what comes next is `start_ms`. Whatever was being listened to is forgotten.
    """

    turn_detection: dict[str, Any] | None
    start_ms: int


@dataclass(frozen=True, slots=True)
class Hear:
    """Look for turns in this sound, PCM16."""

    sound: bytes


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Find out what is said in the client's sound of an item, PCM16."""

    item_id: str
    sound: bytes


@dataclass(frozen=True, slots=True)
class Generate:
    """Begin to make a response."""

    response: Response


@dataclass(frozen=True, slots=True)
class Stop:
    """Make no more of a response."""

    response_id: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection, after what was to be sent, with this WebSocket code and reason."""

    code: int
    reason: str


Command = Send | Listen | Hear | Transcribe | Generate | Stop | Close
