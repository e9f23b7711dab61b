"""Clusters elsewhere: an edge forwards checks to their relays, whose keys it does not have.

The tag of a route is symmetric, so whoever verifies one could forge one. An edge therefore goes by
the cluster's number in the route alone, and the cluster's relay verifies. What is verified here is
served first: the others have a gate of their own (`Rates.stun_remote`), and places of their own
among pending flows.
"""

from hashlib import blake2b

from relay.config.registry import Finder
from relay.wire.edgekeys import EdgeKeys
from relay.wire.endpoint import Endpoint
from relay.wire.keys import AnnouncementKeys, KeyRing
from relay.wire.route import CLUSTER


class RemoteClusters:
    """The way to clusters elsewhere.

    Args:
        registry: Where their relays are.
        keys: The keys of clusters that are served here.
        edge_keys: What is signed with what is said to relays elsewhere.
    """

    def __init__(self, registry: Finder, keys: KeyRing, edge_keys: EdgeKeys) -> None:
        self._registry = registry
        self._keys = keys
        self._edge_keys = edge_keys
        self._clusters = registry.remote_clusters

    def lead(self, route: bytes) -> bool:
        """Whether a route leads to a cluster elsewhere."""
        return int.from_bytes(route[CLUSTER], "big") in self._clusters

    def has(self, route: bytes, vip: Endpoint) -> bool:
        """Whether the relays of the cluster that a route leads to have a VIP."""
        return vip in self._registry.relays_of(int.from_bytes(route[CLUSTER], "big"))

    def relay_for(self, source: bytes, cluster: int) -> Endpoint | None:
        """The VIP of a cluster's relays that a client's flow leads to.

        It is the same one each time, also after a restart, as long as the cluster has it (highest
        random weight: Thaler and Ravishankar, 1998). None where there is no such cluster.

        Args:
            source: The client, as `Source`.
            cluster: The cluster's number.
        """
        vips = self._registry.relays_of(cluster)
        return max(vips, key=lambda vip: _weight(source + vip.packed), default=None)

    def signers(self, route: bytes) -> AnnouncementKeys:
        """What relay and whoever is behind it sign with, on a flow with this route."""
        return self._edge_keys if self.lead(route) else self._keys


def _weight(both: bytes) -> bytes:
    # Not a CRC: that is linear, and the same one of two addresses would win for most clients.
    return blake2b(both, digest_size=8).digest()
