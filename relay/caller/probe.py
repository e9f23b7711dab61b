"""Measures the data channel `oai-events` of a call."""

import json
import time

from aiortc import RTCDataChannel

# The smallest event that every Realtime server answers: with session.updated, or with an error.
_QUESTION = {"type": "session.update", "event_id": "evt_call", "session": {"type": "realtime"}}


class ChannelProbe:
    """Asks one question when the channel opens and times the answer.

    Args:
        channel: The data channel, not open yet.

    Attributes:
        opened: When it opened, by the monotonic clock; None before it.
        round_trip: Seconds from the question to the first answer; None before it.
    """

    def __init__(self, channel: RTCDataChannel) -> None:
        self.opened: float | None = None
        self.round_trip: float | None = None
        self._channel = channel
        channel.on("open", self._ask)
        channel.on("message", self._note)

    def _ask(self) -> None:
        self.opened = time.monotonic()
        self._channel.send(json.dumps(_QUESTION))

    def _note(self, message: str | bytes) -> None:
        if self.opened is not None and self.round_trip is None and not _is_greeting(message):
            self.round_trip = time.monotonic() - self.opened


def _is_greeting(message: str | bytes) -> bool:
    """Servers of the Realtime API say session.created before anything is asked."""
    try:
        event = json.loads(message)
    except ValueError:
        return False
    return isinstance(event, dict) and event.get("type") == "session.created"
