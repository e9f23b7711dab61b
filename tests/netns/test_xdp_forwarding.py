"""Packets of a flow really pass a relay host, in native XDP, with right checksums both ways."""

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.kernel.config import LoadConfig, Mode, Settings, UpstreamRange
from relay.dataplane.kernel.flowtable import FlowTable
from relay.dataplane.kernel.hopview import HopView
from relay.dataplane.kernel.pins import Pins
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.lab.capture import DatagramCapture
from tests.lab.frame import Datagram
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER, address

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

VIP = Endpoint(address(RELAY, PUBLIC), 3478)
UPSTREAM = Endpoint(address(RELAY, INTERNAL), 20001)
VIP6 = Endpoint(address(RELAY, PUBLIC, version=6), 3478)
UPSTREAM6 = Endpoint(address(RELAY, INTERNAL, version=6), 20001)
SETTINGS = Settings(
    (VIP, VIP6),
    (UpstreamRange(UPSTREAM.host, 20000, 29999), UpstreamRange(UPSTREAM6.host, 20000, 29999)),
    {},
)
PACKETS = 200


@pytest.fixture
def instance() -> str:
    return f"test-{os.getpid()}-{secrets.token_hex(2)}"


@pytest.fixture
def dataplane(network: dict[str, Host], instance: str) -> Iterator[xdp.XdpDataplane]:
    try:
        with network[RELAY].inside():
            xdp.load(
                LoadConfig(
                    instance=instance,
                    interfaces=(PUBLIC, INTERNAL),
                    settings=SETTINGS,
                    max_flows=8,
                    mode=Mode.NATIVE,
                )
            )
        with closing(xdp.XdpDataplane(instance)) as dataplane:
            yield dataplane
    finally:
        xdp.unload(instance)


def flow(client_version: int = 4, transceiver_version: int = 4) -> FlowTuple:
    """A flow between the families."""
    return FlowTuple(
        client=Endpoint(address(CLIENT, PUBLIC, version=client_version), 50000),
        vip=VIP if client_version == 4 else VIP6,
        upstream=UPSTREAM if transceiver_version == 4 else UPSTREAM6,
        transceiver=Endpoint(address(TRANSCEIVER, INTERNAL, version=transceiver_version), 5000),
        route=bytes(21),
    )


def bound(host: Host, at: Endpoint) -> socket.socket:
    """A socket at an address of a host."""
    with host.inside():
        udp = socket.socket(at.family, socket.SOCK_DGRAM)
    udp.bind(at)
    udp.settimeout(5)
    return udp


def meet(relay: Host, *peers: tuple[Endpoint, socket.socket]) -> None:
    """Let the relay's kernel learn its neighbours, as the agent's own packets make it do."""
    for peer, listener in peers:
        with relay.inside(), socket.socket(peer.family, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"hello", peer)
        assert listener.recv(100) == b"hello"


def payload(number: int) -> bytes:
    """Sizes and contents that differ, odd sizes among them."""
    return b"\x80" + number.to_bytes(2, "big") + bytes((number * 7) % 251 for _ in range(number))


def test_both_directions_pass_unharmed_and_only_the_kernel_touches_them(
    network: dict[str, Host], dataplane: xdp.XdpDataplane, instance: str
) -> None:
    for versions in ((4, 4), (6, 6), (4, 6), (6, 4)):
        exchange(network, dataplane, Pins(instance), flow(*versions))


def exchange(
    network: dict[str, Host], dataplane: xdp.XdpDataplane, pins: Pins, flow: FlowTuple
) -> None:
    """Send packets both ways through a flow, and look at them on the wire."""
    client = bound(network[CLIENT], flow.client)
    transceiver = bound(network[TRANSCEIVER], flow.transceiver)
    with closing(client), closing(transceiver):
        meet(network[RELAY], (flow.client, client), (flow.transceiver, transceiver))
        before = dataplane.counters()
        dataplane.install(flow)
        with (
            DatagramCapture(network[CLIENT], PUBLIC) as at_client,
            DatagramCapture(network[TRANSCEIVER], INTERNAL) as at_transceiver,
        ):
            for number in range(PACKETS):
                client.sendto(payload(number), flow.vip)
                assert received(transceiver) == (payload(number), flow.upstream)
                transceiver.sendto(payload(number), flow.upstream)
                assert received(client) == (payload(number), flow.vip)
            for capture in (at_client, at_transceiver):
                wait_for(capture, 2 * PACKETS)
    after = dataplane.counters()
    counted = {name: after[name] - before[name] for name in after if after[name] > before[name]}
    assert counted.pop("forwarded_to_transceiver") == PACKETS
    assert counted.pop("forwarded_to_client") == PACKETS
    # Neighbour discovery and the like; reports of multicast listeners have a hop-by-hop option.
    assert set(counted) <= {"not_ip", "not_udp", "extension_headers"}
    check(at_transceiver.datagrams, flow.upstream, flow.transceiver)
    check(at_client.datagrams, flow.vip, flow.client)
    (record,) = dataplane.flows()
    assert next_hops(network, pins, flow) == [
        (INTERNAL, flow.transceiver.host, mac(network[TRANSCEIVER], INTERNAL)),
        (PUBLIC, flow.client.host, mac(network[CLIENT], PUBLIC)),
    ]
    dataplane.remove(flow)
    assert record.to_transceiver.packets == record.to_client.packets == PACKETS
    assert record.to_transceiver.bytes == sum(len(payload(n)) for n in range(PACKETS))


def next_hops(network: dict[str, Host], pins: Pins, flow: FlowTuple) -> list[tuple[str, str, str]]:
    """What is told of the next hops of a flow, which its packets have just taken."""
    with network[RELAY].inside(), closing(FlowTable(pins)) as table, closing(HopView(pins)) as view:
        hops = list(map(view.show, table.bindings(flow) or ()))
    assert [hop.current for hop in hops if hop is not None] == [True, True]
    return [(hop.interface, hop.gateway, hop.destination_mac) for hop in hops if hop is not None]


def mac(host: Host, interface: str) -> str:
    """The MAC address of an interface."""
    with host.netlink() as netlink:
        (link,) = netlink.link("get", ifname=interface)
    return str(link.get_attr("IFLA_ADDRESS"))


def received(udp: socket.socket) -> tuple[bytes, Endpoint]:
    """The next datagram and where it comes from."""
    data, source = udp.recvfrom(2000)
    return data, Endpoint.of(source)


def wait_for(capture: DatagramCapture, datagrams: int) -> None:
    """A capture hears of packets a little after their receiver."""
    deadline = time.monotonic() + 5
    while len(capture.datagrams) < datagrams and time.monotonic() < deadline:
        time.sleep(0.01)


def check(captured: list[Datagram], source: Endpoint, destination: Endpoint) -> None:
    """All packets have arrived with these addresses, in order and with right checksums."""
    arrived = [datagram for datagram in captured if datagram.destination == destination]
    assert [datagram.payload for datagram in arrived] == [payload(n) for n in range(PACKETS)]
    assert {datagram.source for datagram in arrived} == {source}
    assert all(datagram.intact for datagram in arrived)
