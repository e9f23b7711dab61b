"""The session table: which flow a datagram belongs to, and what is to be done.

It is free of IO: a datagram, its source and the time go in, commands come out. The agent executes
them in order. The rules:

* A Binding request with a valid route makes a *pending* flow; only STUN passes, and it lives
  shortly. A forged or replayed ufrag achieves no more than that.
* The transceiver's Binding success, in answer to a request of that flow, *confirms* it. It is
  installed in the dataplane before that success is forwarded, so that no packet comes too early.
* A Binding request on a confirmed flow whose route names another target is routed by its route;
  the flow is rebound when the new transceiver answers with success, and not before.
* But an address belongs to the session that lives there, until that ends or has been silent: who
  claims to be at somebody else's address is passed on and answered, and moves nothing.
* A transceiver's goodbye ends its flow a moment later; others' idle out.
* Whatever else comes on a confirmed flow follows it, as in the kernel: forged, malformed or signed
  with a key that has left, its transceiver tells by MESSAGE-INTEGRITY. Only what no protocol of
  RFC 7983 begins with stays here, for such are datagrams between relay and transceiver.
* Traffic from the transceiver keeps a confirmed flow alive (RFC 4787 REQ-6); the client's alone
  does not.
* No confirmed flow is ever evicted: when the table is full, new flows are refused.
* A route of a cluster elsewhere is not verified here: its cluster's relay is what such a flow has
  for a transceiver. There, a client is who the edge says it is.
* A TCP connection is a client like any other (RFC 6544); its flow ends with it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from relay.config.registry import Finder
from relay.core import clientstun
from relay.core.admission import Admission
from relay.core.confirmed import ConfirmedFlows
from relay.core.control import Control
from relay.core.fill import FillAlarms
from relay.core.flow import (
    NEVER,
    TRANSACTIONS_KEPT,
    Alarm,
    Announce,
    CloseUpstream,
    Command,
    Flow,
    Instant,
    OpenUpstream,
    Recall,
    Remove,
    SendToClient,
    SendToTransceiver,
    State,
    Store,
)
from relay.core.flowevents import FlowEvents, Happened
from relay.core.flows import Flows
from relay.core.flowtuple import FlowTuple, Source
from relay.core.handoff import Handoff
from relay.core.introductions import Introductions
from relay.core.lifecycle import Lifecycle
from relay.core.limits import Limits
from relay.core.newcomers import Newcomers
from relay.core.ownership import Ownership
from relay.core.pending import PendingFlows
from relay.core.recovery import Recovery
from relay.core.remote import RemoteClusters
from relay.core.sleeping import Installed, SleepingFlows
from relay.core.upstreamports import UpstreamPools, UpstreamPorts
from relay.histogram import Histogram
from relay.wire import stun
from relay.wire.announcement import announce
from relay.wire.demux import Kind, classify, is_control
from relay.wire.edgekeys import EdgeKeys
from relay.wire.endpoint import Endpoint
from relay.wire.errors import StunError
from relay.wire.keys import KeyRing
from relay.wire.route import TARGET, Route, decode
from relay.wire.transport import Transport

#: Limits of the histogram of set-ups, in seconds.
SETUPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_TICK = 2e-6  # seconds: more than what an announcement rounds its time to


class SessionTable:
    """All flows of one relay.

    Args:
        vips: The public addresses served here.
        upstreams: The upstream addresses, by the client's transport and their own family.
        registry: The transceivers.
        keys: The cluster's keys.
        limits: Bounds and times.
        edge_keys: What is signed with what is said to relays of clusters elsewhere.
        admission: Which checks come too soon; None: none does.
        heard: When a flow's client last sent something through the dataplane, monotonic seconds.
        randbelow: Gives a random number from 0 up to, but not including, another: it chooses which
            pending flow gives way.

    Attributes:
        counters: What happened, in datagrams, bytes or flows by reason.
        setups: How long flows took from their first check to the one that confirmed them.
        limits: Bounds and times.
        events: Tells what happens to flows.
        lifecycle: The steps that flows take.
        ownership: Does with flows what the mirror says.
        handoff: Hands flows to an agent's successor.
    """

    def __init__(
        self,
        *,
        vips: frozenset[Endpoint],
        upstreams: UpstreamPools,
        registry: Finder,
        keys: KeyRing,
        randbelow: Callable[[int], int],
        limits: Limits | None = None,
        edge_keys: EdgeKeys | None = None,
        admission: Admission | None = None,
        heard: Callable[[FlowTuple], float] = lambda _: NEVER,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.setups = Histogram(SETUPS)
        self.limits = limits or Limits()
        self.events = FlowEvents()
        self._vips = vips
        self._keys = keys
        self._remote = remote = RemoteClusters(registry, keys, edge_keys or EdgeKeys())
        self._upstreams = UpstreamPorts(upstreams)
        self._introductions = Introductions(keys)
        self._confirmed = ConfirmedFlows(self.limits)
        self._pending = PendingFlows(self.limits, randbelow, remote.lead)
        flows = Flows(
            self._confirmed,
            self._pending,
            self._upstreams,
            self._introductions,
            self.counters,
            self.events,
        )
        self.lifecycle = Lifecycle(flows, heard)
        self.ownership = Ownership(
            flows,
            self.lifecycle,
            Recovery(vips, self._upstreams, registry, keys, remote),
            kept_for=self.limits.address_kept,
        )
        self.handoff = Handoff(flows, vips)
        self._newcomers = Newcomers(flows, registry, remote)
        self._control = Control(flows, remote, self.ownership, grace=self.limits.goodbye_grace)
        self._admission = admission
        self._since = NEVER  # since when it sees all that passes, but for what a dataplane sees
        self._unwatched = False  # whether a dataplane has forwarded since then
        self._announced_at = 0.0  # Unix seconds
        self._alarms = FillAlarms()

    def __iter__(self) -> Iterator[Flow]:
        """All flows that there are now; it may take its time, and flows come and go meanwhile."""
        confirmed, pending = list(self._confirmed), list(self._pending)
        yield from confirmed
        yield from self._confirmed.beside(confirmed)
        yield from pending

    def awake(self) -> list[Flow]:
        """All flows but those that sleep: those of which this agent has seen something."""
        return [*self._confirmed, *self._pending]

    def holds(self, flow: Flow) -> bool:
        """Whether a confirmed flow is the one that its client has."""
        return self._confirmed.holds(flow)

    def waking(self) -> Iterator[Flow]:
        """Wake all flows that sleep, one at a time, before the dataplane that has them goes."""
        return self._confirmed.waking()

    def leave_dataplane(self) -> None:
        """The dataplane that had the flows that slept goes, and all are awake."""
        self._confirmed.leave()

    def count(self, state: State) -> int:
        """How many flows are in a state."""
        return len(self._confirmed if state is State.CONFIRMED else self._pending)

    def has(self, source: Source) -> bool:
        """Whether a client has a confirmed flow; one that sleeps sleeps on."""
        return self._confirmed.has(source)

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
        if is_control(data):
            return self._control.from_client(data, source, now)
        if flow is not None:
            return self._to_transceiver(flow, data, now)
        self.counters["unknown_source"] += 1
        if source.transport is Transport.TCP or kind is Kind.OTHER:
            return []
        return [Recall(source, data)]

    def disconnected(self, flow: Flow, now: Instant) -> list[Command]:
        """The connection of a flow's client has ended; its place is free when it would have been.

        Otherwise one ufrag would be worth any number of upstream ports, each of which rests.
        """
        self.counters["disconnected"] += 1
        self._pending.keep_place(flow.addresses.route, now.monotonic)
        return self.lifecycle.drop(flow, now, "disconnected")

    def from_transceiver(self, data: bytes, flow: Flow, now: Instant) -> list[Command]:
        """Take a datagram that came from a flow's transceiver to its upstream address."""
        self.counters["received_from_transceivers"] += 1
        if flow.state is State.CONFIRMED:
            if is_control(data):
                return self._control.from_transceiver(data, flow, now)
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
        if confirms and self._is_lived_in(flow, now):
            self.counters["address_in_use"] += 1
            confirms = False
        if not confirms:
            self._pending.answered(flow)
            return self._to_client(flow, data, now)
        # Rebinding, too, needs room for both flows at a moment.
        if self._confirmed.full:
            self._pending.answered(flow)
            self.counters["refused_full"] += 1
            text = f"all {self.limits.flows} flows are in use: a new one was refused (max-flows)"
            return [Alarm(text), *self.lifecycle.drop(flow, now, "refused_full")]
        self.counters["confirmed"] += 1
        self.setups.observe(now.monotonic - flow.opened.monotonic)
        return self.lifecycle.confirm(flow, now) + self._to_client(flow, data, now)

    def adopt(self, installed: Installed, now: Instant) -> list[Command]:
        """Take over the flows that the dataplane forwarded before this agent started.

        They sleep. They count as just refreshed, so that a restart expires nobody. The sweeps to
        come write them to the mirror.
        """
        # The dataplane holds only what this relay verified, perhaps with a key that has left.
        sleeping = SleepingFlows(installed, self._vips, self._upstreams, now)
        strays = sleeping.strays()
        self._confirmed.add_sleeping(sleeping)
        self._since = now.monotonic
        for name, count in (("adopted", len(sleeping)), ("not_adopted", len(strays))):
            if count:
                self.counters[name] += count
        return [Remove(_stray(each)) for each in strays]

    def at_upstream(self, upstream: bytes) -> Flow | None:
        """The confirmed flow that the dataplane has at an upstream address, packed."""
        return self._confirmed.at_upstream(upstream)

    def may_expire(self, now: Instant) -> bool:
        """Whether a flow can have been silent for too long: none has that was watched for less."""
        return now.monotonic - self._since > self.limits.idle

    def unwatched(self) -> None:
        """A dataplane forwards, and nothing here knows when flows were last heard.

        So none is silent, when it forwards no more, before it was watched here for long enough.
        """
        self._unwatched = True

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
                commands += self.lifecycle.expire(flow, now)
        return commands

    def sweep(self, now: Instant, *, dataplane_forwards: bool = False) -> list[Command]:
        """Drop pending flows in time, and refresh the mirror's records of confirmed ones.

        Args:
            now: The time.
            dataplane_forwards: Whether confirmed flows may be busy though nothing comes here:
                `expire` then ends them, and otherwise this does.
        """
        if dataplane_forwards:
            self.unwatched()
        elif self._unwatched:
            self._unwatched, self._since = False, now.monotonic
        commands: list[Command] = []
        for flow in self._pending.expired(now.monotonic):
            self.counters["pending_expired"] += 1
            commands += self.lifecycle.drop(flow, now, "pending_expired")
        for flow in self._confirmed.ended(now.monotonic):
            self.counters["ended"] += 1
            commands += self._control.ending(flow) + self.lifecycle.end(flow, now, "ended")
        for flow in [each for each in self._confirmed if self._silent(each, now)]:
            if flow.is_connection or not dataplane_forwards:
                commands += self.lifecycle.expire(flow, now)
        commands += map(Store, self._confirmed.to_store(now.monotonic))
        fullest = self._upstreams.busy(now.monotonic)
        commands += map(Alarm, self._alarms.look(self.used(now), fullest))
        return commands

    def used(self, now: Instant) -> dict[str, tuple[int, int]]:
        """How much of what has a bound is in use, and how much there is: flows and ports."""
        return {
            "flows": (len(self._confirmed), self.limits.flows),
            "pending": (len(self._pending), self.limits.pending),
            "ports": self._upstreams.count(now.monotonic),
        }

    def announcement(self, wanted: Announce) -> bytes | None:
        """The datagram by which a flow is announced; None if there is no key to sign it with."""
        flow = wanted.flow
        parts, said = flow.addresses, flow.introduced
        ends, transport = parts.without_transceiver, parts.transport
        if said is not None:
            ends = said.client.packed + said.vip.packed + parts.packed_upstream
            transport = said.transport
        # It never goes back, though clocks may: at an upstream address only the latest is news.
        self._announced_at = max(wanted.at.unix, self._announced_at + _TICK)
        at, keys = self._announced_at, self._remote.signers(parts.route)
        try:
            return announce(ends, decode(parts.route), at, keys, transport, epoch=flow.epoch)
        except KeyError:  # an edge that has not been given it: its client passes for the edge
            self.counters["not_introduced"] += 1
            return None

    # A client's STUN

    def _stun_from_client(
        self, data: bytes, source: Source, flow: Flow | None, now: Instant
    ) -> list[Command]:
        said = clientstun.read(data)
        route = said.route
        if flow is not None and (
            route is None
            or (route.raw[TARGET] == flow.addresses.packed_target and not flow.has_ended)
        ):
            return self._to_transceiver(flow, data, now)
        # Nobody here can verify a route of a cluster elsewhere, so its cluster's relay does.
        leads_away = route is not None and self._remote.lead(route.raw)
        refusal = said.refusal(source.client_port, None if leads_away else self._keys)
        if route is not None and refusal is None and self._admission is not None:
            refusal = self._too_soon(self._admission, route, source, now, leads_away=leads_away)
        if refusal is not None:
            self.counters[refusal] += 1
        if route is None or refusal is not None:
            return []
        commands: list[Command] = []
        pending = self._pending.get(source, route.raw[TARGET])
        if pending is None:
            pending, commands = self._newcomers.admit(route, source, now)
            for command in commands:
                if isinstance(command, CloseUpstream):
                    self.events.tell(Happened.CLOSED, command.flow, now, "pending_replaced")
            if pending is None:
                return commands
            self.events.tell(Happened.OPENED, pending, now)
            commands.append(OpenUpstream(pending))
        latest = (*pending.transactions, said.transaction_id)
        pending.transactions = latest[-TRANSACTIONS_KEPT:]
        # Announced each time: the datagram before may have been lost.
        commands.append(Announce(pending, now))
        return commands + self._to_transceiver(pending, data, now)

    def _too_soon(
        self, gates: Admission, route: Route, source: Source, now: Instant, *, leads_away: bool
    ) -> str | None:
        """Why a check of a client without a flow comes too soon; None if it does not."""
        if leads_away:
            return gates.refusal_elsewhere(now.monotonic)
        # An edge has many clients behind one address: each is counted where it really is.
        said = self._introductions.of(source, route.raw, now)
        client = said.client.packed if said is not None else source.packed_client
        return gates.refusal(route, client, now.monotonic)

    def _is_lived_in(self, flow: Flow, now: Instant) -> bool:
        """Whether a pending flow's client has another one, and is there."""
        old = self._confirmed.get(flow.addresses.from_client)
        # Nobody pretends to be at the other end of a connection.
        if old is None or old.has_ended or flow.is_connection:
            return False
        return now.monotonic - self.lifecycle.last_heard(old) < self.limits.address_kept

    def _silent(self, flow: Flow, now: Instant) -> bool:
        if not self._confirmed.is_silent(flow, now.monotonic):
            return False
        return flow.is_connection or self.may_expire(now)  # no dataplane has a connection

    # Forwarding

    def _to_transceiver(self, flow: Flow, data: bytes, now: Instant) -> list[Command]:
        flow.last_from_client = now.monotonic
        flow.packets_to_transceiver += 1
        flow.bytes_to_transceiver += len(data)
        self.counters["forwarded_to_transceivers"] += 1
        self.counters["bytes_to_transceivers"] += len(data)
        return [SendToTransceiver(flow, data)]

    def _to_client(self, flow: Flow, data: bytes, now: Instant) -> list[Command]:
        flow.last_from_transceiver = now.monotonic
        flow.packets_to_client += 1
        flow.bytes_to_client += len(data)
        self.counters["forwarded_to_clients"] += 1
        self.counters["bytes_to_clients"] += len(data)
        return [SendToClient(flow, data)]


def _stray(addresses: FlowTuple) -> Flow:
    """A flow that only the dataplane has, to be removed there."""
    return Flow(addresses, State.CONFIRMED, 0.0, 0.0)
