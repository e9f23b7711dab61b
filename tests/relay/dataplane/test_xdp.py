"""Flows in real pinned maps: install, remove, adopt, a full map; and what the maps hold."""

from collections.abc import Callable, Iterator
from itertools import chain

import pytest

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.errors import DataplaneFull
from relay.dataplane.flowrecord import Activity, FlowRecord
from relay.dataplane.kernel.config import LoadConfig, Settings, UpstreamRange
from relay.dataplane.kernel.pins import PinnedMap, Pins
from relay.dataplane.kernel.settings import write_settings
from relay.dataplane.xdp import XdpDataplane
from relay.errors import DataplaneError
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint

pytestmark = pytest.mark.bpf

VIP = Endpoint("203.0.113.10", 3478)
TRANSCEIVER = Endpoint("192.0.2.2", 5000)
ROUTE = bytes(range(21))
MAX_FLOWS = 8


@pytest.fixture(scope="module")
def instance(host: Host, new_config: Callable[..., LoadConfig]) -> str:
    config = new_config("a", "b", max_flows=MAX_FLOWS)
    with host.inside():
        xdp.load(config)
    return config.instance


@pytest.fixture
def dataplane(instance: str) -> Iterator[XdpDataplane]:
    dataplane = XdpDataplane(instance)
    for record in list(dataplane.flows()):
        dataplane.remove(record.flow)
    yield dataplane
    dataplane.close()


def flow(number: int, route: bytes = ROUTE, transceiver: Endpoint = TRANSCEIVER) -> FlowTuple:
    """A flow of a client with that number."""
    client, upstream = Endpoint("198.51.100.7", number), Endpoint("192.0.2.1", 20000 + number)
    return FlowTuple(client, VIP, upstream, transceiver, route)


def entries(instance: str) -> dict[bytes, bytes]:
    """What the flows' map holds."""
    with PinnedMap(Pins(instance).map("flows4")) as flows:
        return dict(flows.items())


def count(instance: str, packets: int) -> None:
    """Let all entries have counted that many packets of 10 bytes, the last after 5 s."""
    with PinnedMap(Pins(instance).map("flows4")) as flows:
        for key, value in list(flows.items()):
            changed = bytearray(value)
            for path, number in (
                ("packets", packets),
                ("bytes", 10 * packets),
                ("last_seen_ns", 5 * 10**9),
            ):
                changed[flows.value.spans[f"state.{path}"]] = number.to_bytes(8, "little")
            flows.update(key, bytes(changed))


def test_an_installed_flow_is_two_entries_that_mirror_each_other(
    dataplane: XdpDataplane, instance: str
) -> None:
    dataplane.install(flow(1))
    with PinnedMap(Pins(instance).map("flows4")) as flows:
        shown = {
            (each["key"]["src"], each["key"]["src_port"]): each["value"] for each in flows.show()
        }
    assert len(shown) == 2
    inward, outward = shown["198.51.100.7", 1], shown["192.0.2.2", 5000]
    assert (inward["rewrite.src"], inward["rewrite.src_port"]) == ("192.0.2.1", 20001)
    assert (inward["rewrite.dst"], inward["rewrite.dst_port"]) == ("192.0.2.2", 5000)
    assert (outward["rewrite.src"], outward["rewrite.src_port"]) == ("203.0.113.10", 3478)
    assert (outward["rewrite.dst"], outward["rewrite.dst_port"]) == ("198.51.100.7", 1)
    assert inward["state.route"] == outward["state.route"] == ROUTE.hex()


def test_a_later_process_adopts_the_flows_with_their_counters(
    dataplane: XdpDataplane, instance: str
) -> None:
    installed = [flow(number) for number in range(1, 5)]
    for each in installed:
        dataplane.install(each)
    count(instance, 3)
    dataplane.close()
    later = XdpDataplane(instance)
    records = {record.flow: record for record in later.flows()}
    later.close()
    assert set(records) == set(installed)
    for record in records.values():
        assert record.to_transceiver == record.to_client == Activity(3, 30, 5.0)


def test_nothing_is_told_of_a_flow_that_another_has_replaced(
    dataplane: XdpDataplane, instance: str
) -> None:
    old, new = flow(1), flow(1, transceiver=Endpoint("192.0.2.3", 5000))
    dataplane.install(old)
    dataplane.install(new)  # the old one's way back is still there
    count(instance, 3)
    assert dataplane.record(new) == FlowRecord(new, Activity(3, 30, 5.0), Activity(3, 30, 5.0))
    assert dataplane.record(old) == FlowRecord(old, Activity(), Activity(3, 30, 5.0))
    assert dataplane.record(flow(2)) == FlowRecord(flow(2))


def test_installing_again_keeps_the_counters(dataplane: XdpDataplane, instance: str) -> None:
    dataplane.install(flow(1))
    count(instance, 3)
    dataplane.install(flow(1))
    (record,) = dataplane.flows()
    assert record.to_transceiver.packets == record.to_client.packets == 3


def test_rebinding_replaces_the_way_in(dataplane: XdpDataplane, instance: str) -> None:
    old, new = flow(1), flow(1, transceiver=Endpoint("192.0.2.3", 5000))
    dataplane.install(old)
    count(instance, 3)
    dataplane.install(new)
    dataplane.remove(old)  # must not take the entry that the new one has taken over
    (record,) = dataplane.flows()
    assert record.flow == new
    assert record.to_transceiver == Activity()
    assert len(entries(instance)) == 2


def test_another_route_on_the_same_addresses_is_another_flow(dataplane: XdpDataplane) -> None:
    dataplane.install(flow(1))
    other = flow(1, route=bytes(21))
    dataplane.install(other)
    assert [record.flow for record in dataplane.flows()] == [other]


def test_removing_is_complete_and_may_be_repeated(dataplane: XdpDataplane, instance: str) -> None:
    dataplane.install(flow(1))
    dataplane.remove(flow(1))
    dataplane.remove(flow(1))
    assert entries(instance) == {}


def test_a_full_map_refuses_and_evicts_nobody(dataplane: XdpDataplane, instance: str) -> None:
    for number in range(1, MAX_FLOWS + 1):
        dataplane.install(flow(number))
    before = entries(instance)
    with pytest.raises(DataplaneFull, match="All 8 flows"):
        dataplane.install(flow(100))
    assert entries(instance) == before
    dataplane.install(flow(1))  # what is installed stays installable
    dataplane.remove(flow(1))
    dataplane.install(flow(100))
    assert flow(100) in [record.flow for record in dataplane.flows()]


def test_room_for_one_direction_only_is_no_room(dataplane: XdpDataplane, instance: str) -> None:
    for number in range(1, MAX_FLOWS + 1):
        dataplane.install(flow(number))
    with PinnedMap(Pins(instance).map("flows4")) as flows:
        key, value = next(iter(flows.items()))
        flows.delete(key)
        with pytest.raises(DataplaneFull):
            dataplane.install(flow(100))
        flows.update(key, value)  # there is room for it again: nothing half-installed is left
    assert flow(100) not in [record.flow for record in dataplane.flows()]


ADDRESSES = {
    "4": (Endpoint("198.51.100.7", 1), VIP, Endpoint("192.0.2.1", 20001), TRANSCEIVER),
    "6": (
        Endpoint("2001:db8:9::7", 1),
        Endpoint("2001:db8:1::10", 3478),
        Endpoint("2001:db8:2::1", 20001),
        Endpoint("2001:db8:2::2", 5000),
    ),
}


def test_flows_of_all_families_are_kept_apart_and_adopted(dataplane: XdpDataplane) -> None:
    installed = {
        FlowTuple(*ADDRESSES[client][:2], *ADDRESSES[transceiver][2:], ROUTE)
        for client, transceiver in ("44", "66")
    } | {
        FlowTuple(
            Endpoint(ADDRESSES[client][0].host, 2),
            ADDRESSES[client][1],
            Endpoint(ADDRESSES[transceiver][2].host, 20002),
            ADDRESSES[transceiver][3],
            ROUTE,
        )
        for client, transceiver in ("46", "64")
    }
    assert len(installed) == 4
    for each in installed:
        dataplane.install(each)
        dataplane.install(each)
    assert {record.flow for record in dataplane.flows()} == installed
    assert sorted(dataplane.tuples()) == sorted(installed)
    assert dataplane.status().flows == 4
    for each in installed:
        dataplane.remove(each)
    assert list(dataplane.flows()) == []


def test_a_full_map_of_ipv6_flows_refuses_too(dataplane: XdpDataplane) -> None:
    client, vip, upstream, transceiver = ADDRESSES["6"]
    numbered = [
        FlowTuple(client._replace(port=n), vip, upstream._replace(port=n), transceiver, ROUTE)
        for n in range(1, MAX_FLOWS + 2)
    ]
    for each in numbered[:-1]:
        dataplane.install(each)
    with pytest.raises(DataplaneFull):
        dataplane.install(numbered[-1])
    assert {record.flow for record in dataplane.flows()} == set(numbered[:-1])


def test_idle_flows_are_found_in_both_maps(dataplane: XdpDataplane, instance: str) -> None:
    client, vip, upstream, transceiver = ADDRESSES["6"]
    wide = FlowTuple(client, vip, upstream, transceiver, ROUTE)
    busy, narrow = flow(1), flow(2)
    dataplane.install(busy)
    count(instance, 3)  # the last packet came after 5 s
    for each in (narrow, wide):
        dataplane.install(each)  # these have had none
    assert set(chain.from_iterable(dataplane.idle(5.0))) == {narrow, wide}
    assert set(chain.from_iterable(dataplane.idle(5.1))) == {busy, narrow, wide}


def test_settings_change_without_touching_flows(dataplane: XdpDataplane, instance: str) -> None:
    dataplane.install(flow(1))
    vip = Endpoint("203.0.113.11", 3479)
    pins = Pins(instance)
    write_settings(
        pins,
        Settings((vip,), (UpstreamRange("192.0.2.9", 10000, 10001),), {(2, 6): bytes(range(16))}),
    )
    with (
        PinnedMap(pins.map("vips")) as vips,
        PinnedMap(pins.map("upstreams")) as upstreams,
        PinnedMap(pins.map("route_keys")) as keys,
    ):
        assert [each["key"] for each in vips.show()] == [{"addr": vip.host, "port": vip.port}]
        (upstream,) = upstreams.show()
        assert upstream["key"] == {"address": "192.0.2.9"}
        assert upstream["value"] == {"first": 10000, "last": 10001}
        ((key, secret),) = keys.items()
        assert keys.key.show(key) == {"cluster": 2, "slot": 6}
        assert secret == bytes(range(16))
        assert keys.value.show(secret) == {"secret": "(secret)"}
    assert len(list(dataplane.flows())) == 1


def test_what_is_not_loaded_is_said(instance: str) -> None:
    with pytest.raises(DataplaneError, match="icelane relay load"):
        XdpDataplane(f"{instance}-not")
    with pytest.raises(DataplaneError, match="no instance name"):
        XdpDataplane("../elsewhere")
