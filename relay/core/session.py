"""The session table: which flow a datagram belongs to, and what is to be done.

It is free of IO: a datagram, its source and the time go in, commands come out. The agent executes
them in order. The rules:

* A Binding request with a valid route makes a *pending* flow; only STUN passes, and it lives
  shortly. A forged or replayed ufrag achieves no more than that.
* The transceiver's Binding success, in answer to a request of that flow, *confirms* it. It is
  installed in the dataplane before that success is forwarded, so that no packet comes too early.
* A Binding request on a confirmed flow whose route names another target is routed by its route;
  the flow is rebound when the new transceiver answers with success, and not before.
* Whatever else comes on a confirmed flow follows it, as in the kernel: forged, malformed or signed
  with a key that has left, its transceiver tells by MESSAGE-INTEGRITY. Only what no protocol of
  RFC 7983 begins with stays here, for such are datagrams between relay and transceiver.
* Traffic from the transceiver keeps a confirmed flow alive (RFC 4787 REQ-6); the client's alone
  does not.
* No confirmed flow is ever evicted: when the table is full, new flows are refused.
* A TCP connection is a client like any other (RFC 6544); its flow ends with it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from relay.config.registry import Registry
from relay.core import clientstun
from relay.core.flow import (
    TRANSACTIONS_KEPT,
    Alarm,
    CloseUpstream,
    Command,
    Flow,
    Forget,
    Install,
    Instant,
    OpenUpstream,
    Recall,
    Remove,
    SendToClient,
    SendToTransceiver,
    State,
    Store,
)
from relay.core.flowtuple import FlowTuple, Source
from relay.core.limits import Limits
from relay.core.pending import PendingFlows
from relay.core.ports import UpstreamPool
from relay.wire import stun
from relay.wire.announcement import announce
from relay.wire.demux import Kind, classify, is_control
from relay.wire.endpoint import PACKED_SIZE, Endpoint
from relay.wire.errors import RouteError, StunError
from relay.wire.keys import KeyRing
from relay.wire.route import TARGET, Route, decode, open_raw
from relay.wire.transport import Transport

_NOT_YET = bytes(PACKED_SIZE)  # an upstream address that is to be chosen
UpstreamPools = Mapping[tuple[Transport, int], UpstreamPool]


class SessionTable:
    """All flows of one relay.

    Args:
        vips: The public addresses served here.
        upstreams: The upstream addresses, by the client's transport and their own family.
        registry: The transceivers.
        keys: The cluster's keys.
        limits: Bounds and times.
    """

    def __init__(
        self,
        *,
        vips: frozenset[Endpoint],
        upstreams: UpstreamPools,
        registry: Registry,
        keys: KeyRing,
        limits: Limits | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.limits = limits or Limits()
        self._vips = vips
        self._upstreams = upstreams
        self._registry = registry
        self._keys = keys
        self._confirmed: dict[bytes, Flow] = {}  # by `Source`
        self._pending = PendingFlows(self.limits)

    def __iter__(self) -> Iterator[Flow]:
        """Confirmed flows, then pending ones."""
        yield from self._confirmed.values()
        yield from self._pending

    def count(self, state: State) -> int:
        """How many flows are in a state."""
        return len(self._confirmed if state is State.CONFIRMED else self._pending)

    def confirmed(self, client: Endpoint, vip: Endpoint) -> Flow | None:
        """The confirmed flow of a client over UDP."""
        return self._confirmed.get(Source(client, vip))

    def from_client(self, data: bytes, source: Source, now: Instant) -> list[Command]:
        """Take a datagram that came to a VIP, or in a frame on a connection to one."""
        self.counters["received_from_clients"] += 1
        flow = self._confirmed.get(source)
        kind = classify(data)
        if kind is Kind.STUN:
            return self._stun_from_client(data, source, flow, now)
        if flow is not None and not is_control(data):
            return self._to_transceiver(flow, data, now)
        if flow is not None:
            self.counters["control_from_client"] += 1
            return []
        self.counters["unknown_source"] += 1
        if source.transport is Transport.TCP or kind is Kind.OTHER:
            return []
        return [Recall(source.client, source.vip)]

    def disconnected(self, flow: Flow, now: Instant) -> list[Command]:
        """The connection of a flow's client has ended; its place is free when it would have been.

        Otherwise one ufrag would be worth any number of upstream ports, each of which rests.
        """
        self.counters["disconnected"] += 1
        self._pending.keep_place(flow.addresses.route, now.monotonic)
        return self._drop(flow, now)

    def from_transceiver(self, data: bytes, flow: Flow, now: Instant) -> list[Command]:
        """Take a datagram that came from a flow's transceiver to its upstream address."""
        self.counters["received_from_transceivers"] += 1
        if flow.state is State.CONFIRMED:
            if is_control(data):
                self.counters["control"] += 1
                return []
            return self._to_client(flow, data, now)
        try:
            header = stun.header(data)
        except StunError:
            self.counters["pending_not_stun"] += 1
            return []
        confirms = (
            header.message_class is stun.MessageClass.SUCCESS
            and header.method == stun.BINDING
            and header.transaction_id in flow.transactions
        )
        if not confirms:
            return self._to_client(flow, data, now)
        # Rebinding, too, needs room for both flows at a moment.
        if len(self._confirmed) >= self.limits.flows:
            self.counters["refused_full"] += 1
            text = f"all {self.limits.flows} flows are in use: a new one was refused (max-flows)"
            return [Alarm(text), *self._drop(flow, now)]
        return self._confirm(flow, now) + self._to_client(flow, data, now)

    def adopt(self, installed: FlowTuple, now: Instant) -> list[Command]:
        """Take over a flow that the dataplane forwarded before this agent started.

        It counts as just refreshed, so that a restart expires nobody. The sweeps to come write it
        to the mirror.
        """
        # The dataplane holds only what this relay verified, perhaps with a key that has left.
        flow = self._rebuild(installed, now)
        if flow is None or not self._claim(flow):
            self.counters["not_adopted"] += 1
            return [Remove(_stray(installed))]
        self._confirmed[installed.from_client] = flow
        self.counters["adopted"] += 1
        return [OpenUpstream(flow)]

    def restore(self, stored: FlowTuple, now: Instant) -> list[Command]:
        """Rebuild a flow from the mirror, unless its client has one already.

        What the mirror says is believed only where this relay's own settings agree: the VIP is
        ours, the route verifies, and the registry has its target at that very address.
        """
        if stored.from_client in self._confirmed:
            return []
        flow = self._verified(stored, now)
        if flow is None or not (self._claim(flow) or self._take_port(flow, now)):
            self.counters["restore_refused"] += 1
            return []
        self._confirmed[stored.from_client] = flow
        flow.stored_at = now.monotonic
        self.counters["restored"] += 1
        announced = self._announce(flow, decode(stored.route), now)
        return [OpenUpstream(flow), announced, Install(flow), Store(flow)]

    def expire(self, idle: Iterable[FlowTuple], now: Instant) -> list[Command]:
        """Expire flows that are idle in the dataplane, and here, too.

        Those that only the dataplane has are removed there.
        """
        commands: list[Command] = []
        for addresses in idle:
            flow = self._confirmed.get(addresses.from_client)
            if flow is None or flow.addresses.upstream != addresses.upstream:
                commands.append(Remove(_stray(addresses)))
            elif self._silent(flow, now):
                commands += self._expire(flow, now)
        return commands

    def sweep(self, now: Instant, *, dataplane_forwards: bool = False) -> list[Command]:
        """Drop pending flows in time, and refresh the mirror's records of confirmed ones.

        Args:
            now: The time.
            dataplane_forwards: Whether confirmed flows may be busy though nothing comes here:
                `expire` then ends them, and otherwise this does.
        """
        commands: list[Command] = []
        for flow in self._pending.expired(now.monotonic):
            self.counters["pending_expired"] += 1
            commands += self._drop(flow, now)
        for flow in [each for each in self._confirmed.values() if self._silent(each, now)]:
            if flow.is_connection or not dataplane_forwards:
                commands += self._expire(flow, now)
        old = now.monotonic - self.limits.store_every
        due = (
            flow
            for flow in self._confirmed.values()
            if flow.stored_at < old and not flow.is_connection
        )
        for flow in islice(due, self.limits.stores):
            flow.stored_at = now.monotonic
            commands.append(Store(flow))
        return commands

    def change_port(self, flow: Flow, now: Instant) -> bool:
        """Another process has a pending flow's upstream port: choose another one.

        Returns False when there is none; the flow is then gone. The lost port stays taken for
        ever, so that nobody tries it again.
        """
        if self._take_port(flow, now):
            return True
        self.counters["no_upstream_port"] += 1
        self._discard(flow)
        return False

    def give_up(self, flow: Flow, now: Instant) -> list[Command]:
        """The agent cannot serve a flow: no socket for it, or no room in the dataplane."""
        self.counters["given_up"] += 1
        return self._drop(flow, now)

    # A client's STUN

    def _stun_from_client(
        self, data: bytes, source: Source, flow: Flow | None, now: Instant
    ) -> list[Command]:
        said = clientstun.read(data)
        route = said.route
        if flow is not None and (
            route is None or route.raw[TARGET] == flow.addresses.packed_target
        ):
            return self._to_transceiver(flow, data, now)
        if refusal := said.refusal(source.client_port, self._keys):
            self.counters[refusal] += 1
        if route is None or refusal:
            return []
        commands: list[Command] = []
        pending = self._pending.get(source, route.raw[TARGET])
        if pending is None:
            pending = self._open(route, source, now)
            if pending is None:
                return []
            commands.append(OpenUpstream(pending))
        latest = (*pending.transactions, said.transaction_id)
        pending.transactions = latest[-TRANSACTIONS_KEPT:]
        # Announced each time: the datagram before may have been lost.
        commands.append(self._announce(pending, route, now))
        return commands + self._to_transceiver(pending, data, now)

    def _open(self, route: Route, source: Source, now: Instant) -> Flow | None:
        transceiver = self._registry.find(route.target)
        if route.expired(now.unix):
            reason = "route_expired"
        elif transceiver is None:
            reason = "no_transceiver"
        elif refusal := self._pending.refusal(route.raw, now.monotonic):
            reason = refusal
        else:
            # Its upstream address comes last: a port that was taken rests when it is given back.
            towards = _NOT_YET, transceiver.address.packed
            wanted = FlowTuple.of(source.ends, *towards, route.raw, source.mark)
            flow = Flow(wanted, State.PENDING, now.monotonic, now.monotonic)
            if self._take_port(flow, now):
                self._pending.add(flow)
                return flow
            reason = "no_upstream_port"
        self.counters[reason] += 1
        return None

    def _confirm(self, flow: Flow, now: Instant) -> list[Command]:
        key = flow.addresses.from_client
        old = self._confirmed.get(key)
        self._discard(flow)
        flow.state = State.CONFIRMED
        flow.transactions = ()
        flow.stored_at = now.monotonic
        self._confirmed[key] = flow
        self.counters["confirmed"] += 1
        replaced: list[Command] = []
        if old is not None:
            self.counters["rebound"] += 1
            self._release(old, now)
            replaced = [CloseUpstream(old)]
        if flow.is_connection:
            return replaced
        # Install replaces the client's side of the old flow, and Remove then leaves that alone.
        return [*replaced, Install(flow), *([Remove(old)] if old else []), Store(flow)]

    # Forwarding

    def _to_transceiver(self, flow: Flow, data: bytes, now: Instant) -> list[Command]:
        flow.last_from_client = now.monotonic
        flow.packets_to_transceiver += 1
        flow.bytes_to_transceiver += len(data)
        self.counters["forwarded_to_transceivers"] += 1
        return [SendToTransceiver(flow, data)]

    def _to_client(self, flow: Flow, data: bytes, now: Instant) -> list[Command]:
        flow.last_from_transceiver = now.monotonic
        flow.packets_to_client += 1
        flow.bytes_to_client += len(data)
        self.counters["forwarded_to_clients"] += 1
        return [SendToClient(flow, data)]

    def _announce(self, flow: Flow, route: Route, now: Instant) -> SendToTransceiver:
        parts = flow.addresses
        data = announce(parts.client_and_vip, route, now.unix, self._keys, parts.transport)
        return SendToTransceiver(flow, data)

    # Flows come and go

    def _rebuild(self, stored: FlowTuple, now: Instant) -> Flow | None:
        served = (Transport.UDP, stored.upstream_family) in self._upstreams
        if stored.vip not in self._vips or not served:
            return None
        return Flow(stored, State.CONFIRMED, now.monotonic, now.monotonic)

    def _verified(self, stored: FlowTuple, now: Instant) -> Flow | None:
        """A stored flow, if all that it says can be believed and there is room for it."""
        try:
            route = open_raw(stored.route, self._keys)
        except RouteError:
            return None
        known = self._registry.find(route.target)
        if known is None or known.address != stored.transceiver:
            return None
        if len(self._confirmed) >= self.limits.flows:
            return None
        return self._rebuild(stored, now)

    def _pool(self, flow: Flow) -> UpstreamPool | None:
        parts = flow.addresses
        return self._upstreams.get((parts.transport, parts.upstream_family))

    def _claim(self, flow: Flow) -> bool:
        pool = self._pool(flow)
        return pool is not None and pool.claim(flow.addresses.packed_upstream)

    def _take_port(self, flow: Flow, now: Instant) -> bool:
        parts, pool = flow.addresses, self._pool(flow)
        upstream = pool.take(parts.without_upstream, now.monotonic) if pool else None
        if upstream is not None:
            flow.addresses = parts.at(upstream)
        return upstream is not None

    def _release(self, flow: Flow, now: Instant) -> None:
        if pool := self._pool(flow):
            pool.release(flow.addresses.packed_upstream, now.monotonic)

    def _discard(self, flow: Flow) -> None:
        """Take a flow out of the table, without a word to anybody."""
        self._pending.discard(flow)
        if self._confirmed.get(flow.addresses.from_client) is flow:
            del self._confirmed[flow.addresses.from_client]

    def _silent(self, flow: Flow, now: Instant) -> bool:
        return now.monotonic - flow.last_from_transceiver > self.limits.idle

    def _expire(self, flow: Flow, now: Instant) -> list[Command]:
        self.counters["expired"] += 1
        commands = self._drop(flow, now)
        return commands if flow.is_connection else [*commands, Forget(flow)]

    def _drop(self, flow: Flow, now: Instant) -> list[Command]:
        self._discard(flow)
        self._release(flow, now)
        is_installed = flow.state is State.CONFIRMED and not flow.is_connection
        return [*([Remove(flow)] if is_installed else []), CloseUpstream(flow)]


def _stray(addresses: FlowTuple) -> Flow:
    """A flow that only the dataplane has, to be removed there."""
    return Flow(addresses, State.CONFIRMED, 0.0, 0.0)
