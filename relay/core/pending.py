"""Pending flows, and how many there may be at a time, whoever wants them."""

from collections import deque
from collections.abc import Iterator

from relay.core.flow import Flow
from relay.core.limits import Limits


class PendingFlows:
    """The pending flows of a session table.

    A place can be kept though its flow has gone: whoever opens connections and closes them again
    and again gets no more flows out of a ufrag than with datagrams, whose flows cannot be closed.

    Args:
        limits: How many there may be, and how long they live.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._flows: dict[bytes, Flow] = {}  # by source and target
        self._of_route: dict[bytes, int] = {}  # how many
        self._kept: deque[tuple[float, bytes]] = deque()  # until when, of which route

    def __len__(self) -> int:
        """How many flows there are; places that are kept do not count."""
        return len(self._flows)

    def __iter__(self) -> Iterator[Flow]:
        """All of them, in the order in which they came."""
        return iter(self._flows.values())

    def get(self, source: bytes, target: bytes) -> Flow | None:
        """A client's flow towards a target.

        Args:
            source: As `FlowTuple.from_client`.
            target: Who its route leads to, as `FlowTuple.packed_target`.
        """
        return self._flows.get(source + target)

    def refusal(self, route: bytes, now: float) -> str | None:
        """Why there is no place for one more flow of a route, in a word; None if there is one."""
        self._free_places(now)
        if len(self._flows) + len(self._kept) >= self._limits.pending:
            return "pending_full"
        if self._of_route.get(route, 0) >= self._limits.pending_per_route:
            return "pending_per_route_full"
        return None

    def add(self, flow: Flow) -> None:
        """Take a flow, which has a place."""
        self._flows[_key(flow)] = flow
        self._take_place(flow.addresses.route)

    def discard(self, flow: Flow) -> None:
        """Forget a flow; one that is not here is fine."""
        key = _key(flow)
        if self._flows.get(key) is flow:
            del self._flows[key]
            self._leave_place(flow.addresses.route)

    def keep_place(self, route: bytes, now: float) -> None:
        """Count one flow more of a route, for as long as a pending flow lives."""
        self._kept.append((now + self._limits.pending_life, route))
        self._take_place(route)

    def expired(self, now: float) -> list[Flow]:
        """The flows that live no longer; they stay until they are discarded."""
        life = self._limits.pending_life
        return [each for each in self if now - each.last_from_client > life]

    def _free_places(self, now: float) -> None:
        # All are kept equally long, so they end in the order in which they began.
        while self._kept and self._kept[0][0] < now:
            self._leave_place(self._kept.popleft()[1])

    def _take_place(self, route: bytes) -> None:
        self._of_route[route] = self._of_route.get(route, 0) + 1

    def _leave_place(self, route: bytes) -> None:
        self._of_route[route] -= 1
        if not self._of_route[route]:
            del self._of_route[route]


def _key(flow: Flow) -> bytes:
    return flow.addresses.from_client + flow.addresses.packed_target
