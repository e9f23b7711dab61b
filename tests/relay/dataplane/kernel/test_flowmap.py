"""Flows as entries of a real pinned map: what is installed, replaced, removed and refused."""

from collections.abc import Iterator
from contextlib import closing
from itertools import chain

import pytest

from relay.dataplane.errors import DataplaneFull
from relay.dataplane.flowrecord import Activity, FlowRecord
from relay.dataplane.kernel.flowmap import FlowMap
from relay.dataplane.kernel.pins import PinnedMap, Pins
from relay.wire.endpoint import Endpoint
from tests.relay.dataplane.loading import MAX_FLOWS, ROUTE, count_packets, entries, flow

pytestmark = pytest.mark.bpf

OTHER_TRANSCEIVER = Endpoint("192.0.2.3", 5000)


@pytest.fixture
def flows(pins: Pins) -> Iterator[FlowMap]:
    """The map of IPv4 flows, empty."""
    with closing(FlowMap(pins.map("flows4"))) as flows:
        yield flows


def test_an_installed_flow_is_two_entries_that_mirror_each_other(
    flows: FlowMap, pins: Pins
) -> None:
    flows.install(flow(1))
    with PinnedMap(pins.map("flows4")) as table:
        shown = {
            (each["key"]["src"], each["key"]["src_port"]): each["value"] for each in table.show()
        }
    assert len(shown) == 2
    to_transceiver, to_client = shown["198.51.100.7", 1], shown["192.0.2.2", 5000]
    assert (to_transceiver["rewrite.src"], to_transceiver["rewrite.src_port"]) == (
        "192.0.2.1",
        20001,
    )
    assert (to_transceiver["rewrite.dst"], to_transceiver["rewrite.dst_port"]) == (
        "192.0.2.2",
        5000,
    )
    assert (to_client["rewrite.src"], to_client["rewrite.src_port"]) == ("203.0.113.10", 3478)
    assert (to_client["rewrite.dst"], to_client["rewrite.dst_port"]) == ("198.51.100.7", 1)
    assert to_transceiver["state.route"] == to_client["state.route"] == ROUTE.hex()


def test_nothing_is_told_of_a_flow_that_another_has_replaced(flows: FlowMap, pins: Pins) -> None:
    old, new = flow(1), flow(1, transceiver=OTHER_TRANSCEIVER)
    flows.install(old)
    flows.install(new)  # the old one's way back is still there
    count_packets(pins, 3)
    assert flows.record(new) == FlowRecord(new, Activity(3, 30, 5.0), Activity(3, 30, 5.0))
    assert flows.record(old) == FlowRecord(old, Activity(), Activity(3, 30, 5.0))
    assert flows.record(flow(2)) == FlowRecord(flow(2))


def test_installing_again_keeps_the_counters(flows: FlowMap, pins: Pins) -> None:
    flows.install(flow(1))
    count_packets(pins, 3)
    flows.install(flow(1))
    assert flows.record(flow(1)) == FlowRecord(flow(1), Activity(3, 30, 5.0), Activity(3, 30, 5.0))


def test_rebinding_replaces_the_entry_to_the_transceiver(flows: FlowMap, pins: Pins) -> None:
    old, new = flow(1), flow(1, transceiver=OTHER_TRANSCEIVER)
    flows.install(old)
    count_packets(pins, 3)
    flows.install(new)
    flows.remove(old)  # must not take the entry that is the new one's
    assert list(flows.tuples()) == [new]
    assert flows.record(new).to_transceiver == Activity()
    assert len(entries(pins)) == 2


def test_another_route_on_the_same_addresses_is_another_flow(flows: FlowMap) -> None:
    flows.install(flow(1))
    other = flow(1, route=bytes(21))
    flows.install(other)
    assert list(flows.tuples()) == [other]


def test_removing_is_complete_and_may_be_repeated(flows: FlowMap, pins: Pins) -> None:
    flows.install(flow(1))
    flows.remove(flow(1))
    flows.remove(flow(1))
    assert entries(pins) == {}


def test_a_full_map_refuses_and_evicts_nobody(flows: FlowMap, pins: Pins) -> None:
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


def test_room_for_one_direction_only_is_no_room(flows: FlowMap, pins: Pins) -> None:
    for number in range(1, MAX_FLOWS + 1):
        flows.install(flow(number))
    with PinnedMap(pins.map("flows4")) as table:
        key, value = next(iter(table.items()))
        table.delete(key)
        with pytest.raises(DataplaneFull):
            flows.install(flow(100))
        table.update(key, value)  # there is room for it again: nothing half-installed is left
    assert flow(100) not in list(flows.tuples())


def test_flows_are_idle_by_what_their_transceiver_sent(flows: FlowMap, pins: Pins) -> None:
    flows.install(flow(1))
    count_packets(pins, 3)  # the last packet came after 5 s
    flows.install(flow(2))  # this one has had none
    assert list(chain.from_iterable(flows.idle(5.0))) == [flow(2)]
    assert sorted(chain.from_iterable(flows.idle(5.1))) == [flow(1), flow(2)]
    assert (flows.count(), flows.capacity) == (2, MAX_FLOWS)
