"""Flows as records of a real table: what is installed, replaced, removed and refused."""

from collections.abc import Iterator
from contextlib import closing
from itertools import chain

import pytest

from relay.core.flowtuple import FlowTuple
from relay.core.sleeping import route_word
from relay.dataplane.errors import DataplaneFull
from relay.dataplane.flowrecord import FlowRecord
from relay.dataplane.kernel.flowindex import FlowIndex
from relay.dataplane.kernel.flowtable import FlowTable
from relay.dataplane.kernel.memory import MappedArray
from relay.dataplane.kernel.pins import Pins
from relay.errors import DataplaneError
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.relay.dataplane.loading import (
    MAX_FLOWS,
    ROUTE,
    SEEN_WITHIN,
    VIP,
    NewConfig,
    count_packets,
    entries,
    flow,
    load,
)

pytestmark = pytest.mark.bpf

OTHER_TRANSCEIVER = Endpoint("192.0.2.3", 5000)


@pytest.fixture
def flows(pins: Pins) -> Iterator[FlowTable]:
    """The table, empty."""
    with closing(FlowTable(pins)) as flows:
        yield flows


def moved(old: FlowTuple) -> FlowTuple:
    """The same client's next flow, to another transceiver, by another upstream port."""
    upstream = old.upstream._replace(port=old.upstream.port + 1000)
    return old._replace(upstream=upstream, transceiver=OTHER_TRANSCEIVER)


def test_installing_again_keeps_the_counters(flows: FlowTable, pins: Pins) -> None:
    flows.install(flow(1))
    counted = count_packets(pins, 3)
    flows.install(flow(1))
    assert flows.record(flow(1)) == FlowRecord(flow(1), counted, counted)
    assert list(flows.records()) == [FlowRecord(flow(1), counted, counted)]


def test_a_client_that_moves_on_leaves_its_transceivers_way_back(
    flows: FlowTable, pins: Pins
) -> None:
    old, new = flow(1), moved(flow(1))
    flows.install(old)
    counted = count_packets(pins, 3)
    flows.install(new)
    assert flows.record(old) == FlowRecord(old, counted, counted)
    assert flows.record(new) == FlowRecord(new)
    assert list(flows.tuples()) == [new]
    assert list(chain.from_iterable(flows.idle(5.0 + SEEN_WITHIN))) == [old, new]
    flows.remove(old)  # must not take the entry that is the new one's
    assert list(flows.tuples()) == [new]
    assert len(entries(pins)["flow_index"]) == 1


def test_a_client_may_come_back_to_what_it_left(flows: FlowTable) -> None:
    old, new = flow(1), moved(flow(1))
    for each in (old, new, old):
        flows.install(each)
    assert list(flows.tuples()) == [old]
    flows.remove(new)
    assert list(flows.tuples()) == [old]


def test_nothing_is_told_of_a_flow_whose_port_another_has(flows: FlowTable, pins: Pins) -> None:
    old = flow(1)
    for new in (
        flow(1, transceiver=OTHER_TRANSCEIVER),
        flow(1, route=bytes(21)),
        old._replace(client=Endpoint("198.51.100.8", 9)),
    ):
        flows.install(old)
        counted = count_packets(pins, 3)
        flows.install(new)
        assert flows.record(old) == FlowRecord(old)
        assert flows.record(new) == FlowRecord(new)
        flows.remove(old)
        assert list(flows.tuples()) == [new]
        counted = count_packets(pins, 3)
        assert flows.record(new) == FlowRecord(new, counted, counted)


def test_removing_is_complete_and_may_be_repeated(flows: FlowTable, pins: Pins) -> None:
    flows.install(flow(1))
    flows.remove(flow(1))
    flows.remove(flow(1))
    assert not list(flows.tuples())
    assert (flows.count(), entries(pins)["flow_index"]) == (0, [])


def test_an_index_that_lacks_flows_is_written_from_their_records(
    flows: FlowTable, pins: Pins
) -> None:
    old = flow(1)
    for each in (old, moved(old), flow(2), flow(3)):
        flows.install(each)
    before = entries(pins)
    with closing(MappedArray(pins.opened("flow_index"))) as index:
        index.octets[:] = bytes(len(index.octets))
    flows.install(flow(3))
    assert flows.write_index() == 0
    assert {name: sorted(words) for name, words in entries(pins).items()} == {
        name: sorted(words) for name, words in before.items()
    }
    for each in (moved(old), flow(2), flow(3)):
        assert flows.of_client(each.from_client) == each


def test_what_finds_no_place_in_an_index_is_counted(
    flows: FlowTable, pins: Pins, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        flows.install(flow(number))
    with closing(MappedArray(pins.opened("flow_index"))) as index:
        index.octets[:] = bytes(len(index.octets))
    with monkeypatch.context() as patched:
        patched.setattr(FlowIndex, "make_place", lambda *_: None)
        patched.setattr(FlowIndex, "look", lambda *_: ([], None))
        assert flows.write_index() == 2
    assert flows.write_index() == 0


def test_a_full_table_refuses_and_evicts_nobody(flows: FlowTable, pins: Pins) -> None:
    for number in range(1, MAX_FLOWS + 1):
        flows.install(flow(number))
    before = entries(pins)
    with pytest.raises(DataplaneFull, match="All 8 flows"):
        flows.install(flow(100))
    assert entries(pins) == before
    flows.install(flow(1))  # what is installed stays installable
    flows.remove(flow(1))
    flows.install(flow(100))
    assert flow(100) in list(flows.tuples())


def test_entries_that_move_stay_those_of_their_flows(
    host: Host, new_config: NewConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, moves = 1200, []

    def move(index: FlowIndex, place: int) -> bool:
        moves.append(place)
        return move_entry(index, place)

    move_entry = FlowIndex._move
    monkeypatch.setattr(FlowIndex, "_move", move)
    config = new_config("a", max_flows=room)
    load(host, config)
    wanted = {flow(number) for number in range(1, room + 1)}
    with closing(FlowTable(Pins(config.instance))) as table:
        for each in wanted:
            table.install(each)
        assert len(moves) > 0
        assert set(table.tuples()) == wanted
        assert table.count() == room
        for each in wanted:
            table.remove(each)
        assert table.count() == 0


def test_who_comes_later_counts_what_is_there(flows: FlowTable, pins: Pins) -> None:
    for number in range(1, MAX_FLOWS + 1):
        flows.install(flow(number))
    with closing(FlowTable(pins)) as later:
        with pytest.raises(DataplaneFull):
            later.install(flow(100))
        later.remove(flow(1))
        later.install(flow(100))
        assert set(later.tuples()) == {flow(n) for n in (*range(2, MAX_FLOWS + 1), 100)}


def test_who_comes_later_finds_each_flow_without_reading_all(flows: FlowTable, pins: Pins) -> None:
    old, new = flow(1), moved(flow(1))
    other_route = flow(3, route=bytes(21))
    for each in (old, new, flow(2), other_route):
        flows.install(each)
    with closing(FlowTable(pins)) as later:
        [(address, lowest, taken), *_] = later.adopt({VIP})
        ports = [lowest + at for at, one in enumerate(taken) if one]
        assert address == new.packed_upstream[:-2]
        # Not the port of the old one, which only its transceiver has still.
        assert ports == sorted(each.upstream.port for each in (new, flow(2), other_route))
        assert sorted(later.routes()) == sorted(map(route_word, (new.route, ROUTE, bytes(21))))
        for each in (new, flow(2), other_route):
            assert later.of_client(each.from_client) == each
            assert later.at_upstream(each.packed_upstream) == each
        assert later.at_upstream(old.packed_upstream) == old
        assert later.of_client(flow(4).from_client) is None
        assert later.of_client(flow(1)._replace(vip=flow(1).client).from_client) is None
        assert later.at_upstream(flow(4).packed_upstream) is None
        assert later.at_upstream(flow(1).packed_client) is None
        assert not any(any(taken) for _, _, taken in later.adopt(set()))


def test_addresses_that_are_not_the_relays(flows: FlowTable) -> None:
    for strange, said in (
        (flow(1)._replace(vip=Endpoint("203.0.113.77", 1)), "203.0.113.77 is none of the VIPs"),
        (
            flow(1)._replace(upstream=Endpoint("192.0.2.77", 20001)),
            "none of the upstream addresses",
        ),
        (flow(1)._replace(upstream=Endpoint("192.0.2.1", 19999)), "upstream port 19999"),
    ):
        with pytest.raises(DataplaneError, match=said):
            flows.install(strange)
        flows.remove(strange)
        assert flows.record(strange) == FlowRecord(strange)
    assert flows.count() == 0


def test_a_transceivers_number_is_used_again_only_after_a_grace_period(
    flows: FlowTable, pins: Pins
) -> None:
    flows.install(flow(1))
    flows.remove(flow(1))
    flows.install(moved(flow(2)))
    named = entries(pins)["flow_records"][0] >> 16 & 0xFFFF
    flows.remove(moved(flow(2)))
    flows.settle()
    flows.install(flow(3, transceiver=Endpoint("192.0.2.4", 5000)))
    assert named != 0  # the first one's was 0
    assert entries(pins)["flow_records"][0] >> 16 & 0xFFFF in {0, named}
    (found,) = flows.tuples()
    assert found.transceiver == Endpoint("192.0.2.4", 5000)


def test_flows_are_idle_by_what_their_transceiver_sent(flows: FlowTable, pins: Pins) -> None:
    flows.install(flow(1))
    count_packets(pins, 3, 5.0)
    flows.install(flow(2))  # this one has had none
    assert list(chain.from_iterable(flows.idle(5.0 - SEEN_WITHIN))) == [flow(2)]
    assert sorted(chain.from_iterable(flows.idle(5.0 + SEEN_WITHIN))) == [flow(1), flow(2)]
    assert (flows.count(), flows.capacity) == (2, MAX_FLOWS)
