"""The network around a machine: real tap devices in real namespaces."""

import fcntl
import os
import socket
import struct

import pytest

from relay.netns.host import Host
from tests.lab import topology
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, TRANSCEIVER
from vagrant import network
from vagrant.qemu import QUEUES

pytestmark = pytest.mark.netns
TUNGETIFF = 0x8004_54D2  # linux/if_tun.h


@pytest.fixture(autouse=True)
def _own_name(network_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A machine may be running on this host.
    monkeypatch.setattr(network, "NAME", network_name)


def addresses(host: Host, interface: str) -> set[str]:
    """The addresses of an interface with global scope."""
    with host.netlink() as netlink:
        index = netlink.link_lookup(ifname=interface)[0]
        return {
            f"{each.get_attr('IFA_ADDRESS')}/{each['prefixlen']}"
            for each in netlink.get_addr(index=index, scope=0)
        }


def test_each_card_is_a_tap_device_of_its_host_with_all_queues() -> None:
    with network.network() as (hosts, cards):
        assert set(hosts) == {CLIENT, TRANSCEIVER}
        assert [card.name for card in cards] == [PUBLIC, INTERNAL]
        assert len({card.mac for card in cards}) == len(cards)
        for card in cards:
            assert len(set(card.queues)) == QUEUES
            for queue in card.queues:
                name, flags = struct.unpack("16sH22x", fcntl.ioctl(queue, TUNGETIFF, bytes(40)))
                assert name.rstrip(b"\0").decode() == card.name
                assert flags & network.IFF_VNET_HDR
                assert flags & network.IFF_MULTI_QUEUE


def test_addresses_are_those_of_the_lab() -> None:
    with network.network() as (hosts, _):
        for host, link in ((CLIENT, PUBLIC), (TRANSCEIVER, INTERNAL)):
            ours = set(addresses(hosts[host], link))
            (theirs,) = (
                set(end.addresses)
                for each in topology.TWO_NICS.links
                if each.name == link
                for end in each.ends
                if end.host == host
            )
            assert ours == theirs
            assert not ours & set(network.relay_addresses(link))


def test_signaling_goes_past_the_machine() -> None:
    with network.network() as (hosts, _):
        with hosts[TRANSCEIVER].inside():
            server = socket.create_server(("0.0.0.0", 8080))
        with server, hosts[CLIENT].inside():
            address = topology.address(TRANSCEIVER, topology.SIGNALING)
            with socket.create_connection((address, 8080), timeout=10):
                pass


def test_nothing_is_left_and_what_a_killed_run_left_is_removed() -> None:
    topology.build(network.NAME, network.OUTSIDE)
    with network.network() as (hosts, cards):
        assert all(host.exists() for host in hosts.values())
    assert not any(host.exists() for host in hosts.values())
    for card in cards:
        for queue in card.queues:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(queue)
