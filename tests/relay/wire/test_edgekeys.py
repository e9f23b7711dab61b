"""Edge keys: what an edge is given of other clusters'."""

import pytest

from relay.wire.edgekeys import ClusterSide, EdgeKeys
from relay.wire.errors import KeyFileError
from relay.wire.keys import KeyRing
from relay.wire.keysource import Role

RING = KeyRing({0: bytes(32), 3: bytes(range(32))}, 3)
OF_TWO = RING.exported(2, Role.EDGE)


def test_both_sides_have_the_same() -> None:
    given, own = EdgeKeys([OF_TWO]), ClusterSide(RING)
    for slot in (0, 3):
        assert given.announcement_keys(2, slot) == own.announcement_keys(2, slot)
        assert given.goodbye_key(2, slot) == own.goodbye_key(2, slot)


def test_they_are_no_keys_of_routes_or_of_the_clusters_own_announcements() -> None:
    keys = EdgeKeys([OF_TWO]).announcement_keys(2, 0)
    others = {RING.route_key(2, 0), *RING.announcement_keys(2, 0), *RING.mirror_keys(2, 0)}
    assert not others.intersection(keys)


def test_those_of_one_cluster_are_of_no_other() -> None:
    given = EdgeKeys([OF_TWO, RING.exported(4, Role.EDGE)])
    assert given.clusters == {2, 4}
    assert given.slots() == {2: [0, 3], 4: [0, 3]}
    assert given.announcement_keys(2, 0) != given.announcement_keys(4, 0)
    assert not given.announcement_keys(1, 0)
    for cluster, slot in ((1, 0), (2, 1)):
        with pytest.raises(KeyError):
            given.goodbye_key(cluster, slot)


def test_a_route_of_a_key_that_has_left_is_announced_with_the_one_that_signs() -> None:
    retired = EdgeKeys([RING.retired(0).exported(2, Role.EDGE)])
    assert retired.announcement_keys(2, 0) == [RING.edge_key(2, 3)]
    assert RING.edge_key(2, 3) in ClusterSide(RING).announcement_keys(2, 0)


def test_a_ring_that_takes_others_is_followed() -> None:
    ring = OF_TWO.copy()
    given = EdgeKeys([ring])
    ring.take(RING.retired(0).exported(2, Role.EDGE))
    assert given.slots() == {2: [3]}


def test_an_edge_is_given_neither_master_keys_nor_two_files_of_a_cluster() -> None:
    for more in (RING, RING.exported(2, Role.RELAY)):
        with pytest.raises(KeyFileError, match="an edge must not have these keys"):
            EdgeKeys([more])
    with pytest.raises(KeyFileError, match="cluster 2 has two files of edge keys"):
        EdgeKeys([OF_TWO, OF_TWO.copy()])
