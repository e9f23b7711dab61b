"""Pending flows, and how many there may be at a time, whoever wants them.

Anybody who has seen a ufrag can send checks with it, from as many addresses as they like. So bounds
are not walls: at a bound, a flow that no transceiver has answered gives way to the newcomer, any of
them. An honest client's flow waits for an answer about as long as the network between relay and
transceiver takes, and is hardly ever the one; without that, whoever came first would keep it out.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from relay.core.bag import Bag
from relay.core.flow import Flow
from relay.core.flowtuple import client_prefix
from relay.core.limits import Limits
from relay.core.throttle import TokenBucket


class Admission(NamedTuple):
    """Whether a newcomer has a place.

    Attributes:
        refusal: Why not, as it is counted; None if there is one.
        leaving: The flows that give way to it, which are no longer here.
    """

    refusal: str | None = None
    leaving: tuple[Flow, ...] = ()


_ADMITTED = Admission()


class PendingFlows:
    """The pending flows of a session table.

    A place can be kept though its flow has gone: whoever opens connections and closes them again
    and again gets no more flows out of a ufrag than with datagrams, whose flows cannot be closed.

    Args:
        limits: How many there may be, and how long they live.
        randbelow: Chooses who gives way; see `Bag.choose`.
        is_unverified: Whether nobody here has verified a route: flows with such a one have places
            of their own, so that whoever makes up routes takes none of the others'.
    """

    def __init__(
        self,
        limits: Limits,
        randbelow: Callable[[int], int],
        is_unverified: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self._limits = limits
        self._randbelow = randbelow
        self._is_unverified = is_unverified
        self._flows: dict[bytes, Flow] = {}  # by source and target
        self._seats: dict[Flow, _Seat] = {}
        self._all = _Places()
        self._unverified = _Places()
        self._of_route: defaultdict[bytes, _Places] = defaultdict(_Places)
        self._of_prefix: defaultdict[bytes, _Places] = defaultdict(_Places)
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

    def admit(self, route: bytes, client: bytes, now: float, *, confirmed: int = 0) -> Admission:
        """Find a place for one more flow, which `add` takes.

        Args:
            route: Its route.
            client: Its client's address, packed, as an edge says it where there is one.
            now: Monotonic seconds.
            confirmed: How many confirmed flows the route has.
        """
        self._free_places(now)
        limits = self._limits
        of_route = min(limits.pending_per_route, limits.flows_per_route - confirmed)
        if of_route <= 0:
            return Admission("route_full")
        prefix, places, most = self._common(route, client)
        bounds = (
            ("pending_per_route_full", self._of_route.get(route), of_route),
            ("pending_per_prefix_full", self._of_prefix.get(prefix), limits.pending_per_prefix),
            ("pending_full", places, most),
        )
        full = [
            (reason, places, most)
            for reason, places, most in bounds
            if places is not None and places.taken >= most
        ]
        if not full:
            return _ADMITTED
        for reason, places, _ in full:
            if not places.unanswered:
                return Admission(reason)
        # Those of one ufrag at a limited rate: whoever repeats it is to cost the others little.
        for reason, places, _ in full[:1]:
            if places is self._of_route.get(route) and not places.lets_in(limits.replacements, now):
                return Admission(reason)
        leaving = []
        for _, places, most in full:
            while places.taken >= most and places.unanswered:  # perhaps one has left by now
                leaving.append(places.unanswered.choose(self._randbelow))
                self.discard(leaving[-1])
        return Admission(leaving=tuple(leaving))

    def add(self, flow: Flow) -> None:
        """Take a flow, which has a place."""
        parts = flow.addresses
        of_route = self._of_route[parts.route]
        client = flow.introduced.client.packed if flow.introduced else parts.packed_client
        prefix, together, _ = self._common(parts.route, client)
        of_prefix = self._of_prefix[prefix]
        self._flows[_key(flow)] = flow
        self._seats[flow] = _Seat((together, of_route, of_prefix), prefix)
        for places in self._seats[flow].places:
            places.taken += 1
            places.unanswered.add(flow)

    def answered(self, flow: Flow) -> None:
        """The transceiver has answered: the flow no longer gives way to others."""
        if (seat := self._seats.get(flow)) is not None:
            for places in seat.places:
                places.unanswered.discard(flow)

    def is_unanswered(self, flow: Flow) -> bool:
        """Whether a flow is here, and no transceiver has answered."""
        seat = self._seats.get(flow)
        return seat is not None and flow in seat.places[0].unanswered

    def discard(self, flow: Flow) -> None:
        """Forget a flow; one that is not here is fine."""
        seat = self._seats.pop(flow, None)
        if seat is None:
            return
        del self._flows[_key(flow)]
        for places in seat.places:
            places.taken -= 1
            places.unanswered.discard(flow)
        _, of_route, of_prefix = seat.places
        if not of_route.taken:
            del self._of_route[flow.addresses.route]
        if not of_prefix.taken:
            del self._of_prefix[seat.prefix]

    def keep_place(self, route: bytes, now: float) -> None:
        """Count one flow more of a route, for as long as a pending flow lives."""
        self._kept.append((now + self._limits.pending_life, route))
        self._of_route[route].taken += 1
        self._together(route).taken += 1

    def expired(self, now: float) -> list[Flow]:
        """The flows that live no longer; they stay until they are discarded."""
        limits = self._limits
        return [
            each
            for each in self
            if now - each.last_from_client > limits.pending_life
            or now - each.opened.monotonic >= limits.pending_longest
        ]

    def _common(self, route: bytes, client: bytes) -> "tuple[bytes, _Places, int]":
        """What a flow shares with others: its prefix, the places of all, and how many they are."""
        prefix = client_prefix(client)
        if self._is_unverified(route):
            return b"?" + prefix, self._unverified, self._limits.pending_remote
        return prefix, self._all, self._limits.pending

    def _together(self, route: bytes) -> "_Places":
        return self._unverified if self._is_unverified(route) else self._all

    def _free_places(self, now: float) -> None:
        # All are kept equally long, so they end in the order in which they began.
        while self._kept and self._kept[0][0] < now:
            _, route = self._kept.popleft()
            self._together(route).taken -= 1
            of_route = self._of_route[route]
            of_route.taken -= 1
            if not of_route.taken:
                del self._of_route[route]


class _Places:
    """The flows that share a bound.

    Attributes:
        taken: How many places are taken, or kept.
        unanswered: The flows that may give way.
    """

    __slots__ = ("_gate", "taken", "unanswered")

    def __init__(self) -> None:
        self.taken = 0
        self.unanswered: Bag[Flow] = Bag()
        self._gate: TokenBucket | None = None  # most never need one

    def lets_in(self, rate: float, now: float) -> bool:
        """Whether one more may come in the place of another, so many a second."""
        if self._gate is None:
            self._gate = TokenBucket(rate, rate)
        return self._gate.take(now)


class _Seat(NamedTuple):
    """Where a flow sits.

    Attributes:
        places: Those that it takes: among all, of its route and of its client's prefix.
        prefix: What stands for that prefix.
    """

    places: tuple[_Places, _Places, _Places]
    prefix: bytes


def _key(flow: Flow) -> bytes:
    return flow.addresses.from_client + flow.addresses.packed_target
