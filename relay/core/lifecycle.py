"""How flows are confirmed, rebound and ended, whatever the reason."""

from collections.abc import Callable

from relay.core.flow import (
    NEVER,
    CloseUpstream,
    Command,
    Flow,
    Forget,
    Install,
    Instant,
    Remove,
    State,
    Store,
)
from relay.core.flowevents import Happened
from relay.core.flows import Flows
from relay.core.flowtuple import FlowTuple
from relay.core.ports import QUARANTINE, SHORT_REST
from relay.wire.announcement import MAX_EPOCH


class Lifecycle:
    """The steps that flows take.

    Args:
        flows: The flows.
        heard: When a flow's client last sent something through the dataplane, monotonic seconds.
    """

    def __init__(self, flows: Flows, heard: Callable[[FlowTuple], float]) -> None:
        self._flows = flows
        self._heard = heard

    def last_heard(self, flow: Flow) -> float:
        """When a flow's client last sent something, monotonic seconds."""
        return max(flow.last_from_client, self._heard(flow.addresses))

    def confirm(self, flow: Flow, now: Instant) -> list[Command]:
        """A flow is confirmed from now on, in the place of the one that its client had."""
        self._flows.pending.discard(flow)
        flow.state = State.CONFIRMED
        flow.transactions = ()
        flow.stored_at = now.monotonic
        flow.replaces = self._flows.confirmed.put(flow)
        self._flows.introductions.confirmed(flow)
        self._flows.events.tell(Happened.CONFIRMED, flow, now)
        if flow.replaces is not None:
            flow.epoch = max(flow.epoch, flow.replaces.epoch)
        if flow.is_connection:
            return self.installed(flow, now)
        return [Install(flow), Store(flow)]

    def installed(self, flow: Flow, now: Instant) -> list[Command]:
        """A flow is in the dataplane: what its client had before goes."""
        self._flows.events.tell(Happened.INSTALLED, flow, now)
        old, flow.replaces = flow.replaces, None
        if old is None:
            return []
        self._flows.counters["rebound"] += 1
        self._flows.events.tell(Happened.CLOSED, old, now, "rebound")
        self._flows.introductions.gone(old)
        self._flows.ports.release(old, now.monotonic)
        # Install has replaced the client's side of the old flow, and Remove leaves that alone.
        removed: list[Command] = [] if old.is_connection else [Remove(old)]
        return [CloseUpstream(old), *removed]

    def not_installed(self, flow: Flow, now: Instant) -> list[Command]:
        """The dataplane has no room for a flow: what its client had before goes on."""
        old, flow.replaces = flow.replaces, None
        commands = self.give_up(flow, now)
        if old is not None:
            self._flows.confirmed.put(old)
        return commands

    def change_port(self, flow: Flow, now: Instant) -> bool:
        """Another process has the upstream port of a flow that is to begin: choose another one.

        Returns False when there is none; the flow is then gone. The lost port stays taken for
        ever, so that nobody tries it again.
        """
        if self._flows.ports.move(flow, now.monotonic):
            if flow.claimed:  # restored, as its transceiver and the mirror know it, but for that
                flow.epoch = min(flow.epoch + 1, MAX_EPOCH)
                flow.claimed, flow.stored_at = False, NEVER
            return True
        self._flows.counters["no_upstream_port"] += 1
        self._flows.events.tell(Happened.CLOSED, flow, now, "no_upstream_port")
        self._discard(flow)
        return False

    def give_up(self, flow: Flow, now: Instant) -> list[Command]:
        """The agent cannot serve a flow: there is no socket for it."""
        self._flows.counters["given_up"] += 1
        return self.drop(flow, now, "given_up")

    def expire(self, flow: Flow, now: Instant) -> list[Command]:
        """A flow has been silent for too long."""
        self._flows.counters["expired"] += 1
        return self.end(flow, now, "expired")

    def close(self, addresses: FlowTuple, now: Instant) -> list[Command]:
        """This very flow goes, as the operator says; none if it is not here.

        Its client may have another one by its next check, as long as its ufrag opens flows.
        """
        flow = self._flows.confirmed.get(addresses.from_client)
        if flow is None or flow.addresses != addresses:
            flow = self._flows.pending.get(addresses.from_client, addresses.packed_target)
        if flow is None or flow.addresses != addresses:
            return []
        self._flows.counters["closed"] += 1
        # The mirror has nothing of a pending one, but perhaps its client's confirmed one.
        is_pending = flow.state is State.PENDING
        return self.drop(flow, now, "closed") if is_pending else self.end(flow, now, "closed")

    def end(self, flow: Flow, now: Instant, why: str) -> list[Command]:
        """A flow goes, for a reason as `drop` takes it, and the mirror forgets it."""
        commands = self.drop(flow, now, why)
        return commands if flow.is_connection else [*commands, Forget(flow)]

    def drop(self, flow: Flow, now: Instant, why: str) -> list[Command]:
        """A flow goes, and its port rests.

        Args:
            flow: It.
            now: The time.
            why: The reason, as the counters call it.
        """
        self._flows.events.tell(Happened.CLOSED, flow, now, why)
        rest = SHORT_REST if self._flows.pending.is_unanswered(flow) else QUARANTINE
        self._discard(flow)
        self._flows.ports.release(flow, now.monotonic, rest)
        is_installed = flow.state is State.CONFIRMED and not flow.is_connection
        return [*([Remove(flow)] if is_installed else []), CloseUpstream(flow)]

    def _discard(self, flow: Flow) -> None:
        """Take a flow out of the table, without a word to anybody."""
        self._flows.pending.discard(flow)
        self._flows.confirmed.discard(flow)
        self._flows.introductions.gone(flow)
