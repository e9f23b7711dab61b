"""Edge keys: what an edge relay and another cluster's relays sign with what they say to each other.

An edge forwards checks to clusters whose routes it cannot verify, and could not forge. But it has
to say who its clients are, and to hear that a call has ended. For that there are keys of their own
(`Purpose.EDGE`), which the cluster's relays derive, and edges have from an export for
`Role.EDGE`. Whoever has them can lie about clients' addresses, end flows of edges, and nothing
else.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from relay.wire.errors import KeyFileError
from relay.wire.keys import KeyRing
from relay.wire.keysource import Role


class ClusterSide:
    """The edge keys of a cluster's own relays.

    Args:
        keys: The cluster's.
    """

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def announcement_keys(self, cluster: int, slot: int) -> Sequence[bytes]:
        """See `AnnouncementKeys`."""
        return self._keys.edge_keys(cluster, slot)

    def goodbye_key(self, cluster: int, slot: int) -> bytes:
        """See `AnnouncementKeys`."""
        return self._keys.edge_key(cluster, slot)


class EdgeKeys:
    """The edge keys that an edge relay has been given.

    Args:
        rings: Those of one cluster each. They may take others of theirs.

    Raises:
        KeyFileError: Two are of one cluster, or one has more than an edge may have.
    """

    def __init__(self, rings: Iterable[KeyRing] = ()) -> None:
        self._rings = tuple(rings)
        for each in self._rings:
            each.require_only(Role.EDGE)
        twice = [number for number, times in Counter(self._numbers()).items() if times > 1]
        if twice:
            raise KeyFileError(f"cluster {twice[0]} has two files of edge keys: leave out either")

    @property
    def clusters(self) -> frozenset[int]:
        """The clusters that there are some of."""
        return frozenset(self._numbers())

    def slots(self) -> dict[int, list[int]]:
        """The slots that hold a key, by cluster."""
        slots = [sorted(each.slots) for each in self._rings]
        return dict(zip(self._numbers(), slots, strict=True))

    def announcement_keys(self, cluster: int, slot: int) -> Sequence[bytes]:
        """See `AnnouncementKeys`."""
        of_each = (each.edge_keys(cluster, slot) for each in self._rings)
        return next(filter(None, of_each), ())

    def goodbye_key(self, cluster: int, slot: int) -> bytes:
        """See `AnnouncementKeys`."""
        for each in self._rings:
            if each.cluster is not None and each.cluster.cluster == cluster:
                return each.edge_key(cluster, slot)
        raise KeyError(cluster)

    def _numbers(self) -> list[int]:
        return [each.cluster.cluster for each in self._rings if each.cluster is not None]
