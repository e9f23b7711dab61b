"""802.1Q tags on the wire, on either side of a flow.

Frames with tags are put on the cables and taken off them as they are, and in the relay a plain
interface stands in for each VLAN's: what the FIB names, and the addresses belong to. So this needs
no VLAN driver in the kernel. Which interfaces are VLANs is read from netlink elsewhere.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from scapy.layers.l2 import Dot1Q, Ether

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.kernel.config import LoadConfig, Mode, Settings, UpstreamRange
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.txports import TxPort, write_tx_ports
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.lab.delivery import Delivery, count_delivery, numbered_packet, packet_number
from tests.lab.frame import parse
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER
from tests.netns.wire import Wire, datagram_frame, next_udp

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

VLANS = {PUBLIC: 5, INTERNAL: 6}
CLIENT_AT = {4: Endpoint("203.0.114.2", 50000), 6: Endpoint("2001:db8:5::2", 50000)}
VIP = {4: Endpoint("203.0.114.10", 3478), 6: Endpoint("2001:db8:5::10", 3478)}
UPSTREAM = {4: Endpoint("192.0.3.1", 20001), 6: Endpoint("2001:db8:6::1", 20001)}
TRANSCEIVER_AT = {4: Endpoint("192.0.3.2", 5000), 6: Endpoint("2001:db8:6::2", 5000)}
PACKETS = 200
SIZE = 171


@pytest.fixture
def wires(network: dict[str, Host]) -> Iterator[dict[str, Wire]]:
    """The far ends of the relay's cables."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(closing(Wire(network[host], name)))
            for host, name in ((CLIENT, PUBLIC), (TRANSCEIVER, INTERNAL))
        }


@pytest.fixture
def dataplane(network: dict[str, Host], wires: dict[str, Wire]) -> Iterator[xdp.XdpDataplane]:
    """A program that knows of a VLAN above each of the relay's interfaces."""
    instance = f"test-{os.getpid()}-{secrets.token_hex(2)}"
    relay = network[RELAY]
    config = LoadConfig(
        instance=instance,
        interfaces=(PUBLIC, INTERNAL),
        settings=Settings(
            tuple(VIP.values()),
            tuple(UpstreamRange(each.host, 20000, 29999) for each in UPSTREAM.values()),
            {},
        ),
        max_flows=8,
        mode=Mode.NATIVE,
    )
    try:
        with relay.inside():
            xdp.load(config)
        write_tx_ports(Pins(instance), stand_ins(relay, wires))
        with closing(xdp.XdpDataplane(instance)) as dataplane:
            yield dataplane
    finally:
        xdp.unload(instance)


def stand_ins(relay: Host, wires: dict[str, Wire]) -> list[TxPort]:
    """Make an interface for each VLAN, with its addresses and its neighbour."""
    ports = []
    with relay.netlink() as netlink:
        for name, ours, theirs in (
            (PUBLIC, VIP, CLIENT_AT),
            (INTERNAL, UPSTREAM, TRANSCEIVER_AT),
        ):
            (lower,) = netlink.link_lookup(ifname=name)
            netlink.link("add", ifname=f"{name}.v", kind="veth", peer=f"{name}.x")
            for end in (f"{name}.x", f"{name}.v"):
                netlink.link("set", ifname=end, state="up")
            (index,) = netlink.link_lookup(ifname=f"{name}.v")
            for version, length in ((4, 24), (6, 64)):
                netlink.addr("add", index=index, address=ours[version].host, prefixlen=length)
                netlink.neigh(
                    "add",
                    ifindex=index,
                    dst=theirs[version].host,
                    lladdr=wires[name].mac,
                    state="permanent",
                )
            ports += [TxPort(lower, lower), TxPort(index, lower, VLANS[name])]
    return ports


def test_one_tag_becomes_another_on_every_packet(
    network: dict[str, Host], wires: dict[str, Wire], dataplane: xdp.XdpDataplane
) -> None:
    with network[RELAY].netlink() as netlink:
        macs = {
            name: netlink.get_links(ifname=name)[0].get("address") for name in (PUBLIC, INTERNAL)
        }
    for client, transceiver in ((4, 4), (6, 6), (4, 6), (6, 4)):
        flow = FlowTuple(
            CLIENT_AT[client],
            VIP[client],
            UPSTREAM[transceiver],
            TRANSCEIVER_AT[transceiver],
            bytes(21),
        )
        dataplane.install(flow)
        for way in (
            (PUBLIC, flow.client, flow.vip, INTERNAL, flow.upstream, flow.transceiver),
            (INTERNAL, flow.transceiver, flow.upstream, PUBLIC, flow.vip, flow.client),
        ):
            entry, source, destination, exit_, new_source, new_destination = way
            head = Ether(src=wires[entry].mac, dst=macs[entry]) / Dot1Q(vlan=VLANS[entry])
            arrived = []
            for number in range(PACKETS):
                wires[entry].send(
                    datagram_frame(head, source, destination, numbered_packet(number, SIZE))
                )
                frame, vlan = next_udp(wires[exit_])
                datagram = parse(frame)
                assert datagram is not None
                assert vlan == VLANS[exit_]
                assert datagram.intact
                assert (datagram.source, datagram.destination) == (new_source, new_destination)
                arrived.append(packet_number(datagram.payload))
            numbers = [number for number in arrived if number is not None]
            assert count_delivery(range(PACKETS), numbers) == Delivery(PACKETS)
        (record,) = dataplane.flows()
        assert record.to_transceiver.packets == record.to_client.packets == PACKETS
        dataplane.remove(flow)


def test_another_vlans_packets_are_not_forwarded(
    network: dict[str, Host], wires: dict[str, Wire], dataplane: xdp.XdpDataplane
) -> None:
    with network[RELAY].netlink() as netlink:
        mac = netlink.get_links(ifname=PUBLIC)[0].get("address")
    flow = FlowTuple(CLIENT_AT[4], VIP[4], UPSTREAM[4], TRANSCEIVER_AT[4], bytes(21))
    dataplane.install(flow)
    ether = Ether(src=wires[PUBLIC].mac, dst=mac)
    ours, other = Dot1Q(vlan=VLANS[PUBLIC]), Dot1Q(vlan=VLANS[INTERNAL])
    for number, tags in enumerate((other, ours / other, ours)):
        wires[PUBLIC].send(
            datagram_frame(ether / tags, flow.client, flow.vip, numbered_packet(number, SIZE))
        )
    frame, _ = next_udp(wires[INTERNAL])
    datagram = parse(frame)
    assert datagram is not None
    assert packet_number(datagram.payload) == 2  # the third was the first to come
    counted = dataplane.counters()
    assert (counted["vlan_unknown"], counted["vlan_stacked"]) == (1, 1)
