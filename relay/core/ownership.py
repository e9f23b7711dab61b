"""Whose a flow is, by what the mirror says: restored, taken over from another relay, or lost to it.

Clocks are not compared. Each take-over raises the flow's epoch, and the higher one has the client.
"""

from relay.core.flow import (
    Announce,
    Command,
    Flow,
    Forget,
    Install,
    Instant,
    OpenUpstream,
    State,
    Store,
)
from relay.core.flows import Flows
from relay.core.flowtuple import FlowTuple, Source
from relay.core.lifecycle import Lifecycle
from relay.core.recovery import Recovery
from relay.wire.announcement import MAX_EPOCH, Announcement

# More than a relay has pending flows by default. Whoever is not noted waits for his next check.
MOST_DISPLACED = 8_192


class Ownership:
    """Does with flows what the mirror says.

    Args:
        flows: The flows.
        lifecycle: Their steps.
        recovery: Makes flows of what is said of them.
        kept_for: For how long a client must have been silent to have left, in seconds.
    """

    def __init__(
        self, flows: Flows, lifecycle: Lifecycle, recovery: Recovery, *, kept_for: float
    ) -> None:
        self._flows = flows
        self._lifecycle = lifecycle
        self._recovery = recovery
        self._kept_for = kept_for
        self._displaced: set[bytes] = set()  # clients whose pending flows had to make way

    def restore(
        self,
        stored: FlowTuple,
        now: Instant,
        *,
        epoch: int,
        own: bool,
        introduced: Announcement | None = None,
    ) -> list[Command]:
        """Rebuild a flow from the mirror, unless its client has one already.

        What the mirror says is believed only where this relay's own settings agree: the VIP is
        ours, the route verifies, and the registry has its target at that very address.

        Args:
            stored: The flow.
            now: The time.
            epoch: Its epoch.
            own: Whether it is this relay's. It goes on with its port then, if that is free;
                another's is taken over, as its client has come here.
            introduced: What an edge has said of its client.
        """
        if self._flows.confirmed.has(stored.from_client):
            self._flows.confirmed.note_epoch(stored, epoch)
            self._note_client(stored, introduced)
            return []
        flow = None if self._flows.confirmed.full else self._recovery.verified(stored, now)
        if flow is None:
            self._flows.counters["restore_refused"] += 1
            return []
        flow.introduced = introduced
        begun = self._flows.pending.get(stored.from_client, stored.packed_target)
        if begun is not None:
            # A check has come before the mirror's answer, and the transceiver follows that.
            self._flows.pending.discard(begun)
            # It says nothing of who sent it, so its route may be another.
            begun.addresses = stored.at(begun.addresses.packed_upstream)
            begun.introduced = begun.introduced or introduced
            return self._restored(begun, epoch, now, own=own, kept=False)
        commands = self._make_way(stored, now) if own else []
        undisturbed = not commands and stored.from_client not in self._displaced
        kept = own and self._flows.ports.claim(flow)
        if not kept and not self._flows.ports.move(flow, now.monotonic):
            self._flows.counters["restore_refused"] += 1
            return commands
        commands.append(OpenUpstream(flow))
        kept = kept and undisturbed
        return commands + self._restored(flow, epoch, now, own=own, kept=kept)

    def _note_client(self, stored: FlowTuple, said: Announcement | None) -> None:
        """Take from the mirror who the client is of a flow that was here before the agent."""
        flow = self._flows.confirmed.get(stored.from_client) if said is not None else None
        if said is None or flow is None or flow.addresses != stored or flow.introduced is not None:
            return
        self._flows.introductions.note(flow, said)

    def _restored(
        self, flow: Flow, epoch: int, now: Instant, *, own: bool, kept: bool
    ) -> list[Command]:
        """Go on with a flow; one that is as it was kept is said of again, and no more than that.

        The record may be older than the flow's last move, if Redis was away: the transceiver
        would send to the port of then, which may be somebody else's.
        """
        flow.epoch = epoch if kept else min(epoch + 1, MAX_EPOCH)
        flow.claimed = kept
        self._flows.counters["restored" if own else "taken_over"] += 1
        confirmed = self._lifecycle.confirm(flow, now)
        return [Announce(flow, now), *([Install(flow)] if kept else confirmed)]

    def move(self, flow: Flow, source: Source, said: Announcement, now: Instant) -> list[Command]:
        """Go on with a flow whose client has come through another edge, which says so.

        Args:
            flow: The flow.
            source: Where its client's datagrams come from now, where there is no flow.
            said: What the edge says.
            now: The time.
        """
        parts = flow.addresses
        there = source.ends, parts.packed_upstream, parts.packed_transceiver, parts.route
        at = now.monotonic
        moved = Flow(FlowTuple.of(*there), State.CONFIRMED, at, at, opened=now, introduced=said)
        if not self._flows.ports.move(moved, at):
            self._flows.counters["no_upstream_port"] += 1
            return []
        moved.epoch = min(max(flow.epoch, 1) + 1, MAX_EPOCH)
        self._flows.counters["moved_by_edge"] += 1
        return [
            OpenUpstream(moved),
            *self._lifecycle.drop(
                flow, now, "moved_by_edge"
            ),  # first: there may be no room for both
            Forget(flow),
            Announce(moved, now),
            *self._lifecycle.confirm(moved, now),
        ]

    def _make_way(self, stored: FlowTuple, now: Instant) -> list[Command]:
        """Drop the pending flow at a flow's upstream address, if there is one.

        While the mirror was read, somebody's check was given that port, and the transceiver may
        believe that client there. Should that one have a flow, too, it has to be told as well.
        """
        upstream = stored.packed_upstream
        there = [each for each in self._flows.pending if each.addresses.packed_upstream == upstream]
        if len(self._displaced) < MOST_DISPLACED:
            self._displaced.update(each.addresses.from_client for each in there)
        why = "displaced"
        return [command for flow in there for command in self._lifecycle.drop(flow, now, why)]

    def claimed(self, flow: FlowTuple) -> None:
        """A flow is this relay's in the mirror, too."""
        if (awake := self._flows.confirmed.awake(flow)) is not None:
            awake.claimed = True

    def contested(self, flow: FlowTuple, epoch: int, now: Instant) -> list[Command]:
        """Another relay has claimed a flow that this one was about to, with this epoch.

        It was there before, unless this relay's client has gone: that one has it then.
        """
        ours = self._flows.confirmed.get(flow.from_client)
        if ours is None or ours.addresses != flow:
            return []
        if now.monotonic - self._lifecycle.last_heard(ours) >= self._kept_for:
            return self._leave_to_another(ours, now)
        return self._insist(ours, epoch, now)

    def lost(
        self, flow: FlowTuple, epoch: int, now: Instant, *, is_here: bool = False
    ) -> list[Command]:
        """Another relay has taken a client over, with this epoch: its flow goes here.

        Should the client come back, its first packet takes it over again.

        Args:
            flow: The flow.
            epoch: The other relay's.
            now: The time.
            is_here: Whether the client has come back already: this relay takes it over then.
        """
        ours = self._flows.confirmed.get(flow.from_client)
        # One that is not claimed yet will be; it will turn out then which one has the client.
        if ours is None or not ours.claimed or ours.epoch >= epoch:
            return []
        if is_here:
            self._flows.counters["taken_back"] += 1
            return self._insist(ours, epoch, now)
        return self._leave_to_another(ours, now)

    def _insist(self, flow: Flow, epoch: int, now: Instant) -> list[Command]:
        """Take a flow over that is here already, from the relay that has it with this epoch."""
        flow.epoch = min(epoch + 1, MAX_EPOCH)
        flow.claimed = False
        return [Announce(flow, now), Store(flow)]

    def _leave_to_another(self, flow: Flow, now: Instant) -> list[Command]:
        self._flows.counters["lost_to_another"] += 1
        return self._lifecycle.drop(flow, now, "lost_to_another")
