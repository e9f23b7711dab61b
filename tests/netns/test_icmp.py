"""ICMP errors about relayed packets, from a host of the client's network to the transceiver."""

import socket
import time
from collections.abc import Callable

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, IPv6
from scapy.packet import Packet, Raw

from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.lab.load import Load
from tests.lab.relay_testbed import FAMILIES, RelayTestbed, vip
from tests.lab.topology import CLIENT, TRANSCEIVER

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

WAIT = 5.0  # seconds; a limit
MTU = 1400
FORGED = 10  # errors, each way
PAYLOAD = bytes([0x80]) + bytes(1400)


@pytest.fixture(params=["xdp", "userspace"])
def testbed(
    request: pytest.FixtureRequest, new_testbed: Callable[[str, str], RelayTestbed]
) -> RelayTestbed:
    return new_testbed(request.param, "two NICs")


def raw_socket(host: Host, version: int) -> socket.socket:
    """What hears ICMP in a host."""
    with host.inside():
        if version == 6:
            raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        else:
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    raw.settimeout(WAIT)
    return raw


def too_big(source: Endpoint, destination: Endpoint) -> bytes:
    """The error about a packet between two addresses, from its type on."""
    udp = UDP(sport=source.port, dport=destination.port) / Raw(PAYLOAD)
    if ":" in source.host:
        about: Packet = IPv6(src=source.host, dst=destination.host) / udp
        # The kernel fills the checksum in, which covers addresses.
        return bytes(ICMPv6PacketTooBig(mtu=MTU, cksum=0) / Raw(bytes(about)[:1200]))
    about = IP(src=source.host, dst=destination.host, flags="DF") / udp
    return bytes(ICMP(type=3, code=4, nexthopmtu=MTU) / Raw(bytes(about)[:500]))


def unreachable(source: Endpoint, destination: Endpoint) -> bytes:
    """The error that nobody is there, from its type on."""
    udp = UDP(sport=source.port, dport=destination.port) / Raw(PAYLOAD)
    if ":" in source.host:
        about: Packet = IPv6(src=source.host, dst=destination.host) / udp
        return bytes(ICMPv6DestUnreach(code=4, cksum=0) / Raw(bytes(about)[:1200]))
    about = IP(src=source.host, dst=destination.host) / udp
    return bytes(ICMP(type=3, code=3) / Raw(bytes(about)[:500]))


def ends(testbed: RelayTestbed, load: Load) -> tuple[Endpoint, Endpoint, Endpoint]:
    """Client, upstream address and transceiver of a load's flow, which is confirmed."""
    flow = next(
        each
        for each in testbed.status()["flows"]
        if each["upstream"] == str(load.upstreams[-1]) and each["state"] == "confirmed"
    )
    client, upstream, transceiver = (
        Endpoint.parse(flow[name]) for name in ("client", "upstream", "transceiver")
    )
    return client, upstream, transceiver


def heard(raw: socket.socket, version: int) -> tuple[Packet, int]:
    """The packet that the next "too big" quotes, and its MTU."""
    while True:
        data = raw.recv(2048)
        if version == 6 and data[0] == 2:
            return IPv6(data[8:]), int.from_bytes(data[4:8], "big")
        if version == 4 and data[20:22] == b"\x03\x04":
            assert ICMP(data[20:]).chksum is not None
            return IP(data[28:]), int.from_bytes(data[26:28], "big")


def until_counted(testbed: RelayTestbed, name: str, number: int) -> None:
    """Wait until the agent has counted so many."""
    deadline = time.monotonic() + WAIT
    while (found := testbed.counted(name)) < number:
        assert time.monotonic() < deadline, f"{name}: {found} of {number}"
        time.sleep(0.02)


@pytest.mark.parametrize("pair", FAMILIES, ids=lambda pair: f"{pair[0]} to {pair[1]}")
def test_too_big_reaches_the_transceiver_in_its_own_terms(
    testbed: RelayTestbed, pair: tuple[int, int]
) -> None:
    client_version, version = pair
    with testbed.load(pair, rate=50.0) as load:
        load.run_for(0.2)
        client, upstream, transceiver = ends(testbed, load)
        with (
            raw_socket(testbed.hosts[CLIENT], client_version) as sender,
            raw_socket(testbed.hosts[TRANSCEIVER], version) as hearer,
        ):
            relay, before = vip(client_version), testbed.counted("icmp_unknown_flow")
            stranger = client._replace(port=client.port ^ 1)
            sender.sendto(too_big(relay, stranger), (relay.host, 0))
            sender.sendto(too_big(relay, client), (relay.host, 0))
            quoted, mtu = heard(hearer, version)
        load.run_for(0.2)
    assert (quoted.src, quoted[UDP].sport) == (transceiver.host, transceiver.port)
    assert (quoted.dst, quoted[UDP].dport) == (upstream.host, upstream.port)
    growth = {(4, 6): 20, (6, 4): -20}.get((client_version, version), 0)
    assert mtu == MTU + growth
    assert load.to_transceiver.lost == load.to_client.lost == 0, "an ICMP error has ended the flow"
    until_counted(testbed, "icmp_unknown_flow", before + 1)  # what was said of the stranger


@pytest.mark.parametrize("pair", FAMILIES, ids=lambda pair: f"{pair[0]} to {pair[1]}")
def test_a_forged_unreachable_ends_no_flow(testbed: RelayTestbed, pair: tuple[int, int]) -> None:
    """From hosts on both sides, of whom one claims to be the client, and one the transceiver."""
    client_version, version = pair
    with testbed.load(pair, rate=50.0) as load:
        load.run_for(0.2)
        before = client, upstream, transceiver = ends(testbed, load)
        relay, received = vip(client_version), testbed.counted("icmp_received")
        with (
            raw_socket(testbed.hosts[CLIENT], client_version) as outside,
            raw_socket(testbed.hosts[TRANSCEIVER], version) as inside,
        ):
            for _ in range(FORGED):
                outside.sendto(unreachable(relay, client), (relay.host, 0))
                inside.sendto(unreachable(upstream, transceiver), (upstream.host, 0))
        until_counted(testbed, "icmp_received", received + 2 * FORGED)
        load.run_for(0.2)
        assert ends(testbed, load) == before
    assert load.to_transceiver.lost == load.to_client.lost == 0
