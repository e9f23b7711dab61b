"""The XDP dataplane on real pins: flows of all families, adoption, switching, and what it says."""

import asyncio
import gc
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.errors import DataplaneFull
from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.xdp import XdpDataplane
from relay.errors import DataplaneError
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.relay.dataplane.loading import (
    MAX_FLOWS,
    ROUTE,
    SEEN_WITHIN,
    TRANSCEIVER,
    VIP,
    VIP6,
    count_packets,
    flow,
)

pytestmark = pytest.mark.bpf


@pytest.fixture
def dataplane(pins: Pins) -> Iterator[XdpDataplane]:
    with closing(XdpDataplane(pins.instance)) as dataplane:
        yield dataplane


def test_a_later_process_adopts_the_flows_with_their_counters(
    dataplane: XdpDataplane, pins: Pins
) -> None:
    installed = [flow(number) for number in range(1, 5)]
    for each in installed:
        dataplane.install(each)
    counted = count_packets(pins, 3)
    dataplane.close()
    later = XdpDataplane(pins.instance)
    records = {record.flow: record for record in later.flows()}
    later.close()
    assert set(records) == set(installed)
    for record in records.values():
        assert record.to_transceiver == record.to_client == counted


def test_closing_lets_go_of_every_descriptor(pins: Pins, open_files: Callable[[], int]) -> None:
    def use() -> None:
        loop = asyncio.new_event_loop()
        with closing(loop), closing(XdpDataplane(pins.instance)) as dataplane:
            dataplane.watch(loop, lambda: None)
            dataplane.install(flow(1))
            dataplane.counters()
            dataplane.reconcile()
            dataplane.remove(flow(1))

    use()  # what is loaded once for the process
    gc.collect()
    before = open_files()
    use()  # no garbage is collected meanwhile: an agent that is told to unload does not wait for it
    assert open_files() == before


ADDRESSES = {
    "4": (Endpoint("198.51.100.7", 1), VIP, Endpoint("192.0.2.1", 20001), TRANSCEIVER),
    "6": (
        Endpoint("2001:db8:9::7", 1),
        VIP6,
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


def test_the_table_is_full_of_flows_of_any_family(dataplane: XdpDataplane) -> None:
    client, vip, upstream, transceiver = ADDRESSES["6"]
    numbered = [
        FlowTuple(
            client._replace(port=n), vip, upstream._replace(port=20000 + n), transceiver, ROUTE
        )
        for n in range(1, MAX_FLOWS + 2)
    ]
    numbered[0] = flow(1)
    for each in numbered[:-1]:
        dataplane.install(each)
    with pytest.raises(DataplaneFull):
        dataplane.install(numbered[-1])
    assert {record.flow for record in dataplane.flows()} == set(numbered[:-1])


def test_idle_flows_of_all_families_are_found(dataplane: XdpDataplane, pins: Pins) -> None:
    client, vip, upstream, transceiver = ADDRESSES["6"]
    wide = FlowTuple(client, vip, upstream, transceiver, ROUTE)
    busy, narrow = flow(1), flow(2)
    dataplane.install(busy)
    count_packets(pins, 3, 5.0)
    for each in (narrow, wide):
        dataplane.install(each)  # these have had none
    assert set(chain.from_iterable(dataplane.idle(5.0 - SEEN_WITHIN))) == {narrow, wide}
    assert set(chain.from_iterable(dataplane.idle(5.0 + SEEN_WITHIN))) == {busy, narrow, wide}


def test_what_is_not_loaded_is_said(pins: Pins) -> None:
    with pytest.raises(DataplaneError, match="icelane relay load"):
        XdpDataplane(f"{pins.instance}-not")
    with pytest.raises(DataplaneError, match="no instance name"):
        XdpDataplane("../elsewhere")


def running_programs(pins: Pins) -> set[int]:
    """The kernel's numbers of the programs that the instance's links run."""
    found = set()
    for path in pins.links().values():
        with bpfsys.pinned(path) as link:
            found.add(bpfsys.link_info(link).program_id)
    return found


def program_id(path: Path) -> int:
    with bpfsys.pinned(path) as program:
        return bpfsys.program_info(program).id


def test_everything_is_passed_up_while_it_is_inactive(dataplane: XdpDataplane, pins: Pins) -> None:
    dataplane.install(flow(1))
    assert dataplane.forwards
    assert running_programs(pins) == {program_id(pins.program)}
    dataplane.deactivate()
    assert not dataplane.forwards
    assert running_programs(pins) == {program_id(pins.pass_all)}
    assert list(dataplane.tuples()) == [flow(1)]
    dataplane.activate()
    assert dataplane.forwards
    assert running_programs(pins) == {program_id(pins.program)}


def test_an_instance_of_an_older_version_cannot_be_deactivated_and_says_why(
    dataplane: XdpDataplane, pins: Pins
) -> None:
    former = pins.directory / "program-bypass"  # as it was called once
    pins.pass_all.rename(former)
    try:
        with pytest.raises(
            DataplaneError, match=f"icelane relay unload --instance {pins.instance}"
        ):
            dataplane.deactivate()
        assert dataplane.forwards
    finally:
        former.rename(pins.pass_all)


def test_a_steered_socket_gets_what_comes_to_any_upstream_port(
    maps_host: Host, dataplane: XdpDataplane
) -> None:
    with (
        maps_host.inside(),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as steered,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        with pytest.raises(DataplaneError, match="does not steer"):
            dataplane.steer(steered)  # it is not bound yet
        steered.bind(("192.0.2.1", 0))
        steered.settimeout(5)
        dataplane.steer(steered)
        sender.sendto(b"before them", ("192.0.2.1", 19_999))
        for port in (20_000, 29_999):
            sender.sendto(b"to %d" % port, ("192.0.2.1", port))
        assert [steered.recv(100), steered.recv(100)] == [b"to 20000", b"to 29999"]


def test_status_tells_what_is_loaded(maps_host: Host, dataplane: XdpDataplane, pins: Pins) -> None:
    dataplane.install(flow(1))
    with maps_host.inside():
        status = xdp.status(pins.instance)
    assert status.interfaces == {"a": "native", "b": "native"}
    assert (status.flows, status.max_flows) == (1, MAX_FLOWS)
    assert status.counters.keys() >= {"forwarded_to_transceiver", "not_webrtc"}
    assert xdp.status(pins.instance).interfaces == {"a": None, "b": None}  # another namespace


@pytest.mark.netns
def test_what_the_program_does_not_know_of_is_told_once_and_shown(
    maps_host: Host, dataplane: XdpDataplane
) -> None:
    rule = {"fwmark": 7, "table": 5, "priority": 77}
    with maps_host.inside(), maps_host.netlink() as netlink:
        dataplane.reconcile()
        netlink.rule("add", **rule)
        (told,) = dataplane.reconcile()
        assert "ip rule 77 (fwmark 0x7)" in told
        assert dataplane.reconcile() == []
        assert dataplane.status().unseen == (told,)
        netlink.rule("del", **rule)
        assert dataplane.reconcile() == []
        assert dataplane.status().unseen == ()
