"""Events that wait until a client takes them."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from transceiver.backend import Channel
from transceiver.bridge.events import fits

MAX_WAITING = 1 << 20  # characters of events: while so many wait, no more are added
MAX_EVENTS = 4096
_PAUSE = 0.05  # seconds between two tries


class Outbox:
    """The events that a client is sent on a channel, in order.

    Where it takes none for so long that too many wait, those are left out, and one tells of it. How
    long a single event is does not count: a recorded turn may be longer than all that may wait.

    Args:
        fitted: An event as it fits into messages of so many bytes.
        told: Makes the event that tells how many were left out.
        waiting: What waits already.
        lost: How many are left out already.
    """

    def __init__(
        self,
        fitted: Callable[[str, int], str],
        told: Callable[[int], str],
        waiting: Iterable[str] = (),
        lost: int = 0,
    ) -> None:
        self.channel: Channel | None = None
        self._fitted = fitted
        self._told = told
        self._waiting = deque(waiting)
        self._size = sum(map(len, self._waiting))
        self._lost = lost
        self._timer: asyncio.TimerHandle | None = None

    def copy(self) -> "Outbox":
        """Another one, in which the same waits for a channel of its own."""
        return Outbox(self._fitted, self._told, self._waiting, self._lost)

    def opened(self, channel: Channel) -> None:
        """What waits, and what is sent from now on, goes here."""
        self.channel = channel
        self._waiting = deque(self._fitted(each, channel.longest) for each in self._waiting)
        self._size = sum(map(len, self._waiting))
        self._flush()

    def send(self, text: str) -> None:
        """Send an event, as soon as that is possible."""
        if self._lost or self._size >= MAX_WAITING or len(self._waiting) >= MAX_EVENTS:
            self._lost += 1
        else:
            if self.channel is not None:
                text = self._fitted(text, self.channel.longest)
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
            # Again: a later offer may have changed how long they may be.
            text = self._fitted(self._waiting[0], channel.longest)
            if not _is_too_long(text, channel) and not channel.send(text):
                self._try_again()
                return
            self._size -= len(self._waiting.popleft())
        if self._lost:
            told = self._told(self._lost)
            if _is_too_long(told, channel) or channel.send(told):
                self._lost = 0
            else:
                self._try_again()

    def _try_again(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PAUSE, self._again)

    def _again(self) -> None:
        self._timer = None
        self._flush()


def _is_too_long(text: str, channel: Channel) -> bool:
    """Whether not even an error is short enough for this client, which so is told nothing."""
    return not fits(text, channel.longest)
