"""The confirmed flows of a session table."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from relay.core.flow import Flow
from relay.core.flowtuple import FlowTuple
from relay.core.limits import Limits
from relay.core.sleeping import SleepingFlows


class ConfirmedFlows:
    """The confirmed flows of a session table, by client.

    Those that the dataplane had before this agent are taken over asleep; whoever asks for one by
    its client or its upstream address wakes it.

    Args:
        limits: How many there may be, and how long they live.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._flows: dict[bytes, Flow] = {}  # by `Source`
        self._of_route: Counter[bytes] = Counter()
        self._sleeping: SleepingFlows | None = None

    def __len__(self) -> int:
        """How many there are, those that sleep among them."""
        return len(self._flows) + (len(self._sleeping) if self._sleeping is not None else 0)

    def __iter__(self) -> Iterator[Flow]:
        """Those that are awake, in the order in which their clients came."""
        return iter(self._flows.values())

    def add_sleeping(self, flows: SleepingFlows) -> None:
        """Take the flows that the dataplane has, when there are no others yet."""
        self._sleeping = flows

    def beside(self, listed: Iterable[Flow]) -> Iterator[Flow]:
        """All but those that are listed already; it may take its time, and those asleep sleep on.

        Whichever of them wakes meanwhile is not missed.
        """
        if self._sleeping is None or not len(self._sleeping):
            return
        clients = {flow.addresses.from_client for flow in listed}
        for addresses in self._sleeping.installed.tuples():
            source = addresses.from_client
            if source in clients:
                continue
            if (flow := self._flows.get(source)) is not None:
                yield flow
            elif self._sleeping.has(addresses):
                yield self._sleeping.flow(addresses)

    def waking(self) -> Iterator[Flow]:
        """Wake all, one at a time."""
        if self._sleeping is None:
            return
        for addresses in list(self._sleeping.installed.tuples()):
            if (flow := self.get(addresses.from_client)) is not None:
                yield flow

    def leave(self) -> None:
        """Ask the dataplane that had those that slept no longer: it goes."""
        self._sleeping = None

    def holds(self, flow: Flow) -> bool:
        """Whether this is the flow that its client has; one that sleeps sleeps on."""
        awake = self._flows.get(flow.addresses.from_client)
        if awake is not None:
            return awake.addresses == flow.addresses
        return self._sleeping is not None and self._sleeping.has(flow.addresses)

    def has(self, source: bytes) -> bool:
        """Whether a client has a flow; one that sleeps sleeps on."""
        return source in self._flows or (
            self._sleeping is not None and self._sleeping.knows(source)
        )

    def awake(self, flow: FlowTuple) -> Flow | None:
        """This very flow, if it is awake; one that sleeps sleeps on."""
        found = self._flows.get(flow.from_client)
        return found if found is not None and found.addresses == flow else None

    def note_epoch(self, flow: FlowTuple, epoch: int) -> None:
        """Take from the mirror the epoch of a flow that this relay had before it started."""
        # The first epoch is what is meant without one, so that most go on sleeping.
        found = self.get(flow.from_client) if epoch > 1 else None
        if found is not None and found.addresses == flow and not found.epoch:
            found.epoch = epoch

    def get(self, source: bytes) -> Flow | None:
        """A client's flow, by its `Source`; it is awake from now on."""
        flow = self._flows.get(source)
        if flow is None and self._sleeping is not None:
            flow = self._sleeping.wake(source)
            if flow is not None:
                self._add(flow)
        return flow

    def at_upstream(self, upstream: bytes) -> Flow | None:
        """The flow that the dataplane has at an upstream address, packed; awake from now on."""
        source = self._sleeping.client_at(upstream) if self._sleeping is not None else None
        flow = self.get(source) if source is not None else None
        return flow if flow is not None and flow.addresses.packed_upstream == upstream else None

    def of_route(self, route: bytes) -> int:
        """How many flows a route has."""
        sleeping = self._sleeping.of_route(route) if self._sleeping is not None else 0
        return self._of_route.get(route, 0) + sleeping

    @property
    def full(self) -> bool:
        """Whether there is no room for another one."""
        return len(self) >= self._limits.flows

    def put(self, flow: Flow) -> Flow | None:
        """Take a flow, in the place of the one that its client had, which is returned."""
        old = self.get(flow.addresses.from_client)
        if old is not None:
            self.discard(old)
        self._add(flow)
        return old

    def _add(self, flow: Flow) -> None:
        self._flows[flow.addresses.from_client] = flow
        self._of_route[flow.addresses.route] += 1

    def discard(self, flow: Flow) -> None:
        """Forget a flow; one that is not here is fine."""
        route = flow.addresses.route
        if self._flows.get(flow.addresses.from_client) is not flow:
            return
        del self._flows[flow.addresses.from_client]
        self._of_route[route] -= 1
        if not self._of_route[route]:
            del self._of_route[route]

    def ended(self, now: float) -> list[Flow]:
        """Those whose transceiver has said goodbye, a while ago."""
        return [each for each in self if each.ends_at <= now]

    def is_silent(self, flow: Flow, now: float) -> bool:
        """Whether a flow's transceiver has sent nothing through the agent for too long."""
        return now - flow.last_from_transceiver > self._limits.idle

    def to_store(self, now: float) -> Iterator[Flow]:
        """Those that are to be written to the mirror again, the most that are at a time."""
        every, most = self._limits.store_every, self._limits.stores
        old, unclaimed = now - every, now - self._limits.claim_every
        due = (
            each
            for each in self
            if each.stored_at < (old if each.claimed else unclaimed) and not each.is_connection
        )
        for flow in islice(due, most):
            flow.stored_at = now
            most -= 1
            yield flow
        if self._sleeping is not None and most:
            yield from self._sleeping.to_store(now, most, every)
