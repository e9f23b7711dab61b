"""The map of edges' addresses; what the program does with it is shown in tests/bpf."""

from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Address

import pytest

from relay.dataplane.kernel.edges import Edges
from relay.dataplane.kernel.maps import EDGES
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.wire.endpoint import Endpoint

pytestmark = pytest.mark.bpf

ROOM = 1024  # EDGES in bpf/relay.h


@pytest.fixture
def edges(pins: Pins) -> Iterator[Edges]:
    with closing(Edges(pins)) as edges:
        yield edges
        edges.clear()


def test_an_edge_is_its_address_whatever_the_port(edges: Edges, pins: Pins) -> None:
    ends = [Endpoint("198.51.100.7", 1), Endpoint("198.51.100.7", 2), Endpoint("2001:db8::7", 1)]
    for each in ends:
        edges.add(each)
    with PinnedMap(pins.map(EDGES)) as table:
        assert {key for key, _ in table.items()} == {each.packed[:16] for each in ends}
    edges.clear()
    with PinnedMap(pins.map(EDGES)) as table:
        assert list(table.items()) == []


def test_a_bucket_goes_on_as_it_is(edges: Edges, pins: Pins) -> None:
    edges.add(Endpoint("198.51.100.7", 1))
    with PinnedMap(pins.map(EDGES)) as table:
        ((key, _),) = table.items()
        table.update(key, b"12345678")
        edges.add(Endpoint("198.51.100.7", 1))
        assert table.lookup(key) == b"12345678"


def test_those_beyond_the_room_are_left_out(edges: Edges, pins: Pins) -> None:
    first = int(IPv4Address("10.0.0.0"))
    for number in range(ROOM + 2):
        edges.add(Endpoint(str(IPv4Address(first + number)), 1))
    with PinnedMap(pins.map(EDGES)) as table:
        assert sum(1 for _ in table.items()) == ROOM
