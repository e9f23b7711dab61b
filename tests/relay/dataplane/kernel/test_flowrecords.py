"""The records of flows, read as memory."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from relay.dataplane.kernel.flowrecords import (
    CLIENT_IP6,
    CONFIRMED,
    REPLACED,
    TRANSCEIVER_IP6,
    Ends,
    FlowRecords,
    kind_of,
)
from relay.dataplane.kernel.pins import Pins
from relay.wire.endpoint import Endpoint
from tests.relay.dataplane.loading import ROUTE

CLIENT, CLIENT6 = Endpoint("198.51.100.7", 1).packed, Endpoint("2001:db8:9::7", 2).packed


@pytest.fixture
def records(pins: Pins) -> Iterator[FlowRecords]:
    with closing(FlowRecords(pins)) as records:
        yield records


def add(records: FlowRecords, position: int, ends: Ends) -> None:
    records.write(position, ends, ROUTE)
    records.publish(position, ends)


@pytest.mark.bpf
def test_what_is_written_is_read_with_nothing_counted(records: FlowRecords) -> None:
    ends = Ends(CLIENT6, vip=1, upstream=2, transceiver=3, kind=CONFIRMED | CLIENT_IP6)
    records.write(5, ends, ROUTE)
    assert records.read(5) is None  # it is a flow by its first word
    records.publish(5, ends)
    read = records.read(5)
    assert read is not None
    assert read == (5, ends, ROUTE, ((0, 0, 0), (0, 0, 0)))
    records.write_counts(5, (1, 2, 3), (4, 5, (1 << 32) + 6))
    read = records.read(5)
    assert read is not None
    assert read.counts == ((1, 2, 3), (4, 5, 6))
    records.clear(5)
    assert records.read(5) is None


@pytest.mark.bpf
def test_columns_are_those_of_flows(records: FlowRecords) -> None:
    last = records.size - 1
    add(records, 0, Ends(CLIENT, vip=1, upstream=2, transceiver=300, kind=CONFIRMED))
    add(records, 7, Ends(CLIENT, vip=1, upstream=0, transceiver=300, kind=CONFIRMED | REPLACED))
    add(records, last, Ends(CLIENT6, vip=9, upstream=2, transceiver=1, kind=CONFIRMED | CLIENT_IP6))
    add(records, 8, Ends(CLIENT, vip=5, upstream=5, transceiver=5, kind=CONFIRMED))
    records.clear(8)
    assert sorted(records.transceivers()) == [1, 300, 300]
    assert records.vips() == {1, 9}
    assert records.upstreams() == {0, 2}
    assert records.count() == 2
    assert [each.position for each in records.read_all()] == [0, last]


@pytest.mark.bpf
def test_idle_are_those_whose_transceiver_was_last_seen_before(records: FlowRecords) -> None:
    for position, seen in ((1, 0), (2, 10), (3, 11)):
        add(records, position, Ends(CLIENT, 0, 0, 0, CONFIRMED))
        records.write_counts(position, (1, 1, 99), (1, 1, seen))
    assert [each for batch in records.idle(11) for each in batch] == [1, 2]


@pytest.mark.bpf
def test_bytes_that_were_carried_only_grow(records: FlowRecords) -> None:
    """They outlive their flow, and another one in its place; others' bytes are not among them."""

    def passed(position: int, sent: int, returned: int) -> None:
        longs = records._flows.element(position).cast("Q")
        longs[3] += sent
        longs[4] += returned

    ends = Ends(CLIENT, vip=1, upstream=2, transceiver=3, kind=CONFIRMED)
    add(records, 5, ends)
    passed(5, 1000, 2000)
    assert records.carried() == (0, 0)
    passed(5, 10, 20)
    assert records.carried() == (10, 20)
    records.clear(5)
    assert records.carried() == (10, 20)
    add(records, 5, ends)
    passed(5, 1, 2)
    assert records.carried() == (11, 22)
    add(records, 6, ends)
    records.write_counts(6, (7, 700, 1), (7, 800, 1))
    passed(6, 4, 8)
    assert records.carried() == (15, 30)


def test_the_kind_of_a_flow_is_of_its_families() -> None:
    kinds = {kind_of(one, other) for one in (CLIENT, CLIENT6) for other in (CLIENT, CLIENT6)}
    assert kinds == {
        CONFIRMED,
        CONFIRMED | CLIENT_IP6,
        CONFIRMED | TRANSCEIVER_IP6,
        CONFIRMED | CLIENT_IP6 | TRANSCEIVER_IP6,
    }
