"""Whose client is behind each upstream address, and where each is answered; pure.

That is what a transceiver knows, by its rules (`transceiver.mux`, `transceiver.ice`): an address
has one client, of whom its relay has spoken last or whose check has come from there last. Whoever
was there before is sent nothing there any more. What comes by another relay moves nobody who is
heard by the first: it may have waited in one that stood still.
"""

from typing import NamedTuple

from relay.wire.endpoint import Endpoint
from transceiver.ice import PATH_SILENCE


class Tenant(NamedTuple):
    """Who is behind an upstream address.

    Attributes:
        flow: Its number.
        since: Since when, in seconds of the monotonic clock.
    """

    flow: int
    since: float


class _Said(NamedTuple):
    epoch: int
    time: float
    host: str


_NOTHING = _Said(0, 0.0, "")


class Upstreams:
    """The upstream addresses of all relays, and the flows there."""

    def __init__(self) -> None:
        self._tenants: dict[Endpoint, Tenant] = {}
        self._of: dict[int, Endpoint | None] = {}  # of those that have sent a check
        self._said: dict[int, _Said] = {}
        self._heard: dict[int, float] = {}  # when, from where it is sent its packets

    def at(self, source: Endpoint) -> Tenant | None:
        """Who is at an address."""
        return self._tenants.get(source)

    def of(self, flow: int) -> Endpoint | None:
        """Where a flow's client is sent its packets; None: nowhere now."""
        return self._of.get(flow)

    def epoch(self, flow: int) -> int:
        """The highest that was announced of a flow; 0 of none."""
        return self._said.get(flow, _NOTHING).epoch

    def announced(
        self, flow: int, source: Endpoint, epoch: int, said_at: float, now: float
    ) -> None:
        """A relay says that a flow's client is at an address of its own.

        It moves there if no other relay has said a higher epoch, or the same; of one relay counts
        what it says last. Before its first check it is not sent anything.

        Args:
            flow: The flow.
            source: The address.
            epoch: The flow's.
            said_at: When the relay said so, by its clock.
            now: Monotonic seconds.
        """
        self._settle(flow, source, now)
        known, said = self._said.get(flow, _NOTHING), _Said(epoch, said_at, source.host)
        is_of_the_same = known.epoch == epoch and known.host == source.host
        if epoch > known.epoch or (is_of_the_same and said_at > known.time):
            self._said[flow] = said
            if flow in self._of:
                self._of[flow] = source

    def checked(self, flow: int, source: Endpoint, now: float) -> None:
        """A flow's check has come from an address."""
        self._settle(flow, source, now)
        if self._of.get(flow) is None:
            self._of[flow] = source
        self.heard(flow, source, now)

    def heard(self, flow: int, source: Endpoint, now: float) -> None:
        """Something of a flow has come from an address, which is its own."""
        if (at := self._of.get(flow)) is None:
            return
        if at == source or now - self._heard.get(flow, now) >= PATH_SILENCE:
            self._of[flow] = source
            self._heard[flow] = now

    def _settle(self, flow: int, source: Endpoint, now: float) -> None:
        before = self._tenants.get(source)
        if before is not None and before.flow == flow:
            return
        self._tenants[source] = Tenant(flow, now)
        if before is not None and self._of.get(before.flow) == source:
            self._of[before.flow] = None
