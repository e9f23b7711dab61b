"""What relays and transceivers say to each other on flows: no protocol of RFC 7983 begins so.

A transceiver says goodbye; so does a cluster's relay to an edge. An edge says who its client is.
"""

from typing import Protocol

from relay.core import farewell
from relay.core.flow import Announce, Command, Flow, Instant, NoteEdge, Remove, SendToClient
from relay.core.flows import Flows
from relay.core.flowtuple import Source
from relay.core.remote import RemoteClusters
from relay.wire.announcement import Announcement, is_announcement
from relay.wire.route import TARGET
from relay.wire.transport import Transport


class Mover(Protocol):
    """Goes on with a flow whose client has come another way."""

    def move(self, flow: Flow, source: Source, said: Announcement, now: Instant) -> list[Command]:
        """See `Ownership.move`."""


class Control:
    """Does what control datagrams ask for.

    Args:
        flows: The flows.
        remote: The clusters elsewhere, whose relays sign with keys of their own.
        mover: Goes on with flows of clients that come through another edge.
        grace: How long a flow goes on after a goodbye, in seconds.
    """

    def __init__(self, flows: Flows, remote: RemoteClusters, mover: Mover, *, grace: float) -> None:
        self._flows = flows
        self._remote = remote
        self._mover = mover
        self._grace = grace

    def from_client(self, data: bytes, source: Source, now: Instant) -> list[Command]:
        """Take one from a client, of whom only an edge has something to say here."""
        flow = self._flows.confirmed.get(source)
        if source.transport is Transport.TCP or not is_announcement(data):
            self._flows.counters["unknown_source" if flow is None else "control_from_client"] += 1
            return []
        said = self._flows.introductions.hear(data, source, flow.introduced if flow else None, now)
        if isinstance(said, str):
            self._flows.counters[said] += 1
            return []
        self._flows.counters["introduced"] += 1
        noted = self._flows.introductions.is_noted(source.client, now)
        commands: list[Command] = [] if noted else [NoteEdge(source.client)]
        return commands + self._introduced(said, source, flow, now)

    def _introduced(
        self, said: Announcement, source: Source, flow: Flow | None, now: Instant
    ) -> list[Command]:
        """Go by what an edge says of a client, of whom there may be a confirmed flow from there."""
        if flow is not None and flow.addresses.route == said.route:
            self._flows.introductions.gone(flow)
            told = self._introduce(flow, said, now)
            self._flows.introductions.confirmed(flow)
            return told
        begun = self._flows.pending.get(source, said.route[TARGET])
        if begun is not None and begun.addresses.route == said.route:
            return self._introduce(begun, said, now)
        old = self._flows.introductions.moved(said) if flow is None else None
        return [] if old is None else self._mover.move(old, source, said, now)

    def _introduce(self, flow: Flow, said: Announcement, now: Instant) -> list[Command]:
        """Note who a flow's client is, and tell its transceiver, if that has heard otherwise."""
        before, flow.introduced = flow.introduced, said
        if before is not None and before.client == said.client:
            return []
        return [Announce(flow, now)]

    def ending(self, flow: Flow) -> list[Command]:
        """What is said before a flow goes of which the call has ended: the first word may be lost.

        The transceiver says it twice, but the kernel passes up no second one.
        """
        if flow.introduced is None:
            return []
        told = self._flows.introductions.goodbye(flow, flow.introduced.client)
        return [SendToClient(flow, told)]

    def from_transceiver(self, data: bytes, flow: Flow, now: Instant) -> list[Command]:
        """Take one from whoever is behind a confirmed flow."""
        parts = flow.addresses
        said = farewell.hear(data, flow, self._remote.signers(parts.route))
        if isinstance(said, str):
            self._flows.counters[said] += 1
            return []
        self._flows.counters["goodbye"] += 1
        commands: list[Command] = []
        if said.client.packed != parts.packed_client:  # it came through an edge, which has a flow
            told = self._flows.introductions.goodbye(flow, said.client)
            commands.append(SendToClient(flow, told))
        if flow.has_ended:
            return commands
        flow.ends_at = now.monotonic + self._grace
        # What is still under way comes here, and so does the first check of the client's next call.
        return commands if flow.is_connection else [*commands, Remove(flow)]
