"""New flows: who gets one, and who gives way to it."""

from relay.clocks import LEEWAY
from relay.config.registry import Finder
from relay.core.flow import Alarm, CloseUpstream, Command, Flow, Instant, State
from relay.core.flows import Flows
from relay.core.flowtuple import FlowTuple, Source
from relay.core.remote import RemoteClusters
from relay.wire.endpoint import Endpoint
from relay.wire.route import TARGET, Route

_EXPIRED = (
    "a client was refused, as its genuine ufrag has expired: the clock of this machine or of the "
    "transceiver that made it is wrong (compare `date -u`), or somebody replays old ones"
)


class Newcomers:
    """Makes pending flows of checks whose routes are valid.

    Args:
        flows: Where they go, and have places; the confirmed flows of a route count, too.
        registry: The transceivers.
        remote: The clusters elsewhere.
    """

    def __init__(self, flows: Flows, registry: Finder, remote: RemoteClusters) -> None:
        self._flows = flows
        self._registry = registry
        self._remote = remote

    def admit(
        self, route: Route, source: Source, now: Instant
    ) -> tuple[Flow | None, list[Command]]:
        """A new pending flow, if there is a place, and what is done to those that leave it."""
        commands: list[Command] = []
        is_remote = self._remote.lead(route.raw)
        introduced = self._flows.introductions.of(source, route.raw, now)
        client = introduced.client.packed if introduced else source.packed_client
        destination = self._destination(route, source, is_remote=is_remote)
        if route.expired(now.unix - LEEWAY):
            reason = "route_expired"
            if not is_remote:  # of one that nobody here has verified, it says nothing
                commands.append(Alarm(_EXPIRED))
        elif destination is None:
            reason = "no_transceiver"
        elif refusal := self._make_place(route.raw, client, now, commands):
            reason = refusal
        else:
            towards = destination.packed
            # It comes last: a port that was taken rests when it is given back.
            upstream = self._flows.ports.take(source, towards, now.monotonic)
            if upstream is not None:
                parts = source.ends, upstream, towards, route.raw, source.mark
                flow = Flow(
                    FlowTuple.of(*parts),
                    State.PENDING,
                    now.monotonic,
                    now.monotonic,
                    opened=now,
                    introduced=introduced,
                )
                self._flows.pending.add(flow)
                return flow, commands
            reason = "no_upstream_port"
        self._flows.counters[reason] += 1
        return None, commands

    def _destination(self, route: Route, source: Source, *, is_remote: bool) -> Endpoint | None:
        """Where datagrams go: to the transceiver, or to a relay of its cluster elsewhere."""
        if is_remote:
            return self._remote.relay_for(source, route.cluster)
        transceiver = self._registry.find(route.raw[TARGET])
        return transceiver.address if transceiver is not None else None

    def _make_place(
        self, route: bytes, client: bytes, now: Instant, commands: list[Command]
    ) -> str | None:
        admission = self._flows.pending.admit(
            route, client, now.monotonic, confirmed=self._flows.confirmed.of_route(route)
        )
        for leaving in admission.leaving:
            self._flows.counters["pending_replaced"] += 1
            # Its port is free at once: nobody has ever used it.
            self._flows.ports.release(leaving, now.monotonic, 0.0)
            commands.append(CloseUpstream(leaving))
        return admission.refusal
