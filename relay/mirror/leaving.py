"""Flows that another relay has taken over, and that are served a little longer here; pure.

The transceiver hears of a take-over by one packet, and this relay by another, which may come first.
What the transceiver has sent until then is still under way through here. And what this relay hears
may be old: one that was cut off, and hears of a take-over when it is back, has its client again.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from relay.core.flowtuple import FlowTuple

# Seconds: many times what an announcement takes, and what a client's last packets are under way.
# What comes of a client in the second half has been sent here since.
GRACE = 0.5


class Left(NamedTuple):
    """A flow whose time has come.

    Attributes:
        flow: It.
        epoch: That of the relay that has taken it over.
        is_here: Whether its client has sent something here meanwhile.
    """

    flow: FlowTuple
    epoch: int
    is_here: bool


class Leaving:
    """The flows that are about to leave this relay.

    Args:
        sent: How many packets the client of a flow has sent here.
    """

    def __init__(self, sent: Callable[[FlowTuple], int]) -> None:
        self._sent = sent
        self._told: deque[tuple[float, FlowTuple, int]] = deque()  # soonest first
        self._counted: deque[tuple[float, FlowTuple, int, int]] = deque()  # likewise

    def put(self, flow: FlowTuple, epoch: int, now: float) -> None:
        """Another relay has a flow, with this epoch, as was heard now (monotonic seconds)."""
        self._told.append((now + GRACE / 2, flow, epoch))

    def due(self, now: float) -> Iterator[Left]:
        """Those whose time has come, each once; to be asked more often than each `GRACE`."""
        while self._told and self._told[0][0] <= now:
            _, flow, epoch = self._told.popleft()
            self._counted.append((now + GRACE / 2, flow, epoch, self._sent(flow)))
        while self._counted and self._counted[0][0] <= now:
            _, flow, epoch, sent = self._counted.popleft()
            yield Left(flow, epoch, is_here=self._sent(flow) > sent)
