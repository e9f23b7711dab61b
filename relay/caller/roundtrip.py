"""The round-trip time of the data channel `oai-events` of a call."""

import json
import time

from aiortc import RTCDataChannel

# The smallest event that every Realtime server answers: with session.updated, or with an error.
_REQUEST = {"type": "session.update", "event_id": "evt_call", "session": {"type": "realtime"}}


class DataChannelRoundTrip:
    """Sends one event when the channel opens and measures the time to its answer.

    Args:
        channel: The data channel, not open yet.

    Attributes:
        opened: When it opened, by the monotonic clock; None before it.
        seconds: The round-trip time; None before the answer.
    """

    def __init__(self, channel: RTCDataChannel) -> None:
        self.opened: float | None = None
        self.seconds: float | None = None
        self._channel = channel
        channel.on("open", self._send_request)
        channel.on("message", self._receive)

    def _send_request(self) -> None:
        self.opened = time.monotonic()
        self._channel.send(json.dumps(_REQUEST))

    def _receive(self, message: str | bytes) -> None:
        if self.opened is not None and self.seconds is None and not _is_session_created(message):
            self.seconds = time.monotonic() - self.opened


def _is_session_created(message: str | bytes) -> bool:
    """Servers of the Realtime API send session.created unasked, when the channel opens."""
    try:
        event = json.loads(message)
    except ValueError:
        return False
    return isinstance(event, dict) and event.get("type") == "session.created"
