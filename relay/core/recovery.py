"""Flows of an agent that was there before: what the dataplane or the mirror says of them."""

from relay.config.registry import Finder
from relay.core.flow import Flow, Instant, State
from relay.core.flowtuple import FlowTuple
from relay.core.remote import RemoteClusters
from relay.core.upstreamports import UpstreamPorts
from relay.wire.endpoint import Endpoint
from relay.wire.errors import RouteError
from relay.wire.keys import KeyRing
from relay.wire.route import TARGET, open_kept
from relay.wire.transport import Transport


class Recovery:
    """Makes flows of what is known of them.

    Args:
        vips: The public addresses served here.
        upstreams: The upstream addresses.
        registry: The transceivers.
        keys: The cluster's keys.
        remote: The clusters elsewhere.
    """

    def __init__(
        self,
        vips: frozenset[Endpoint],
        upstreams: UpstreamPorts,
        registry: Finder,
        keys: KeyRing,
        remote: RemoteClusters,
    ) -> None:
        self._vips = vips
        self._upstreams = upstreams
        self._registry = registry
        self._keys = keys
        self._remote = remote

    def rebuild(self, stored: FlowTuple, now: Instant) -> Flow | None:
        """A confirmed flow, which counts as just refreshed; None if it is none of this relay's."""
        served = self._upstreams.serve(Transport.UDP, stored.upstream_family)
        if stored.vip not in self._vips or not served:
            return None
        return Flow(stored, State.CONFIRMED, now.monotonic, now.monotonic, opened=now)

    def verified(self, stored: FlowTuple, now: Instant) -> Flow | None:
        """The same, if this relay's own settings agree with all that is said."""
        if self._remote.lead(stored.route):
            has_it = self._remote.has(stored.route, stored.transceiver)
            return self.rebuild(stored, now) if has_it else None
        try:
            route = open_kept(stored.route, self._keys)
        except RouteError:
            return None
        known = self._registry.find(route.raw[TARGET])
        if known is None or known.address != stored.transceiver:
            return None
        return self.rebuild(stored, now)
