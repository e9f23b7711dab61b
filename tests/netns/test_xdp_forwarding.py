"""Packets of a flow really pass a relay host, in native XDP, with right checksums both ways."""

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from relay.dataplane import xdp
from relay.dataplane.base import FlowTuple
from relay.dataplane.config import LoadConfig, Mode, Settings, UpstreamRange
from relay.lab.capture import Capture
from relay.lab.frame import Datagram
from relay.lab.host import Host
from relay.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER, address
from relay.wire.endpoint import Endpoint

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

CLIENT_AT = Endpoint(address(CLIENT, PUBLIC), 50000)
VIP = Endpoint(address(RELAY, PUBLIC), 3478)
UPSTREAM = Endpoint(address(RELAY, INTERNAL), 20001)
TRANSCEIVER_AT = Endpoint(address(TRANSCEIVER, INTERNAL), 5000)
FLOW = FlowTuple(CLIENT_AT, VIP, UPSTREAM, TRANSCEIVER_AT, bytes(21))
PACKETS = 200


@pytest.fixture
def dataplane(network: dict[str, Host]) -> Iterator[xdp.XdpDataplane]:
    instance = f"test-{os.getpid()}-{secrets.token_hex(2)}"
    try:
        with network[RELAY].inside():
            xdp.load(
                LoadConfig(
                    instance=instance,
                    interfaces=(PUBLIC, INTERNAL),
                    settings=Settings((VIP,), (UpstreamRange(UPSTREAM.host, 20000, 29999),), {}),
                    max_flows=8,
                    mode=Mode.NATIVE,
                )
            )
        with closing(xdp.XdpDataplane(instance)) as dataplane:
            yield dataplane
    finally:
        xdp.unload(instance)


def bound(host: Host, at: Endpoint) -> socket.socket:
    """A socket at an address of a host."""
    with host.inside():
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(at)
    udp.settimeout(5)
    return udp


def meet(relay: Host, *peers: tuple[Endpoint, socket.socket]) -> None:
    """Let the relay's kernel learn its neighbours, as the agent's own packets make it do."""
    for peer, listener in peers:
        with relay.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"hello", peer)
        assert listener.recv(100) == b"hello"


def payload(number: int) -> bytes:
    """Sizes and contents that differ, odd sizes among them."""
    return b"\x80" + number.to_bytes(2, "big") + bytes((number * 7) % 251 for _ in range(number))


def test_both_directions_pass_unharmed_and_only_the_kernel_touches_them(
    network: dict[str, Host], dataplane: xdp.XdpDataplane
) -> None:
    client = bound(network[CLIENT], CLIENT_AT)
    transceiver = bound(network[TRANSCEIVER], TRANSCEIVER_AT)
    with closing(client), closing(transceiver):
        meet(network[RELAY], (CLIENT_AT, client), (TRANSCEIVER_AT, transceiver))
        before = dataplane.counters()
        dataplane.install(FLOW)
        with (
            Capture(network[CLIENT], PUBLIC) as at_client,
            Capture(network[TRANSCEIVER], INTERNAL) as at_transceiver,
        ):
            for number in range(PACKETS):
                client.sendto(payload(number), VIP)
                assert transceiver.recvfrom(2000) == (payload(number), UPSTREAM)
                transceiver.sendto(payload(number), UPSTREAM)
                assert client.recvfrom(2000) == (payload(number), VIP)
            for capture in (at_client, at_transceiver):
                wait_for(capture, 2 * PACKETS)
    after = dataplane.counters()
    counted = {name: after[name] - before[name] for name in after if after[name] > before[name]}
    assert counted.pop("forwarded_to_transceiver") == PACKETS
    assert counted.pop("forwarded_to_client") == PACKETS
    assert set(counted) <= {"not_ip"}  # ARP and the like
    check(at_transceiver.datagrams, UPSTREAM, TRANSCEIVER_AT)
    check(at_client.datagrams, VIP, CLIENT_AT)
    (record,) = dataplane.flows()
    assert record.to_transceiver.packets == record.to_client.packets == PACKETS
    assert record.to_transceiver.bytes == sum(len(payload(n)) for n in range(PACKETS))


def wait_for(capture: Capture, datagrams: int) -> None:
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


def test_the_hosts_own_traffic_passes_untouched(
    network: dict[str, Host], dataplane: xdp.XdpDataplane
) -> None:
    relay, client = network[RELAY], network[CLIENT]
    with relay.inside():
        ssh = socket.create_server((VIP.host, 22))
        dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        dns.bind((VIP.host, 53))
    with client.inside():
        shell = socket.create_connection((VIP.host, 22), timeout=5)
        resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with closing(ssh), closing(dns), closing(shell), closing(resolver):
        dns.settimeout(5)
        resolver.settimeout(5)
        resolver.sendto(b"question", (VIP.host, 53))
        question, asker = dns.recvfrom(100)
        dns.sendto(question[::-1], asker)
        assert resolver.recv(100) == b"noitseuq"
        served, _ = ssh.accept()
        with closing(served):
            served.sendall(b"SSH-2.0")
            assert shell.recv(100) == b"SSH-2.0"
    assert dataplane.counters()["not_ours"] == 1


def test_flows_pass_while_the_program_is_replaced(
    network: dict[str, Host], dataplane: xdp.XdpDataplane
) -> None:
    client = bound(network[CLIENT], CLIENT_AT)
    transceiver = bound(network[TRANSCEIVER], TRANSCEIVER_AT)
    with closing(client), closing(transceiver):
        meet(network[RELAY], (CLIENT_AT, client), (TRANSCEIVER_AT, transceiver))
        dataplane.install(FLOW)
        client.sendto(b"\x80 before", VIP)
        assert transceiver.recv(100) == b"\x80 before"
        instance = dataplane.status().instance
        with network[RELAY].inside():
            report = xdp.load(
                LoadConfig(
                    instance=instance,
                    interfaces=(PUBLIC, INTERNAL),
                    settings=Settings((VIP,), (UpstreamRange(UPSTREAM.host, 20000, 29999),), {}),
                    max_flows=8,
                )
            )
        assert report.replaced
        client.sendto(b"\x80 after", VIP)
        assert transceiver.recv(100) == b"\x80 after"
    (record,) = dataplane.flows()
    assert record.to_transceiver.packets == 2
