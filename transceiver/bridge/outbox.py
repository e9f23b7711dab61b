"""Events that wait until a client takes them."""

import asyncio
from collections import deque
from collections.abc import Callable

from transceiver.backend import Channel

MAX_WAITING = 1 << 20  # characters of events that may wait
MAX_EVENTS = 4096
_PAUSE = 0.05  # seconds between two tries


class Outbox:
    """The events that a client is sent on a channel, in order.

    Where it takes none for so long that too many wait, those are left out, and one tells of it.

    Args:
        fitted: An event as it fits into messages of so many bytes.
        told: Makes the event that tells how many were left out.
    """

    def __init__(self, fitted: Callable[[str, int], str], told: Callable[[int], str]) -> None:
        self.channel: Channel | None = None
        self._fitted = fitted
        self._told = told
        self._waiting: deque[str] = deque()
        self._size = 0
        self._lost = 0
        self._timer: asyncio.TimerHandle | None = None

    def opened(self, channel: Channel) -> None:
        """What waits, and what is sent from now on, goes here."""
        self.channel = channel
        self._flush()

    def send(self, text: str) -> None:
        """Send an event, as soon as that is possible."""
        if self._lost or self._size + len(text) > MAX_WAITING or len(self._waiting) >= MAX_EVENTS:
            self._lost += 1
        else:
            self._waiting.append(text)
            self._size += len(text)
        self._flush()

    def close(self) -> None:
        """Send nothing more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _flush(self) -> None:
        channel = self.channel
        if channel is None:
            return
        if not channel.is_open:
            self._waiting.clear()
            self._size = 0
            return
        while self._waiting:
            text = self._fitted(self._waiting[0], channel.longest)
            if 0 < channel.longest < len(text):
                self._lost += 1  # not even an error is short enough for this client
            elif not channel.send(text):
                self._try_again()
                return
            self._size -= len(self._waiting.popleft())
        if self._lost and channel.send(self._told(self._lost)):
            self._lost = 0

    def _try_again(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PAUSE, self._again)

    def _again(self) -> None:
        self._timer = None
        self._flush()
