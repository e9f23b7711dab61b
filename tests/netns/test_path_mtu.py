"""Forged ICMP errors that say that little fits the path: packets leave whole, as they did before.

Such an error needs no packet of a flow: what it quotes may be an echo reply of the relay's, which
the kernel believes to have sent. So no option of the relay's sockets can keep it out of the
kernel's mind, and whoever sends must not heed what the kernel has learnt.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from relay.netns.host import Host
from tests.lab import topology
from tests.lab.delivery import Delivery
from tests.lab.relay_testbed import FAMILIES, RelayTestbed, vip
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER
from tests.netns.loads import PAUSE

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

RATE = 100.0  # packets a second, each way
SIZE = 1400  # bytes of payload, which fit 1500 with either header
LEAST = {4: 552, 6: 1280}  # what the kernel believes at least: net.ipv4.route.min_pmtu, RFC 8200
WAIT = 5.0  # seconds; a limit
ROUNDS = 10  # of errors, while packets are counted
ETH_P_ALL = 0x0003  # linux/if_ether.h


@pytest.fixture(params=["xdp", "userspace"])
def testbed(
    request: pytest.FixtureRequest, new_testbed: Callable[[str, str], RelayTestbed]
) -> RelayTestbed:
    return new_testbed(request.param, "two NICs")


@pytest.fixture(autouse=True)
def forgotten(testbed: RelayTestbed) -> Iterator[None]:
    """What was learnt goes with the test."""
    yield
    with testbed.hosts[RELAY].inside():
        for version in (4, 6):  # which can be written only
            Path(f"/proc/sys/net/ipv{version}/route/flush").write_text("1", "ascii")


def forged(relay: str, peer: str, about: Packet) -> Packet:
    """An error from a peer, about a packet of the relay's to it, that says how little fits."""
    if ":" in peer:
        quoted: Packet = IPv6(src=relay, dst=peer) / about
        return (
            IPv6(src=peer, dst=relay) / ICMPv6PacketTooBig(mtu=LEAST[6]) / Raw(bytes(quoted)[:1200])
        )
    quoted = IP(src=relay, dst=peer, flags="DF") / about
    error = ICMP(type=3, code=4, nexthopmtu=LEAST[4])
    return IP(src=peer, dst=relay) / error / Raw(bytes(quoted)[:500])


def teach(testbed: RelayTestbed, host: str, interface: str, *errors: Packet) -> None:
    """Send errors to the relay from a host beside it."""
    relay = testbed.hosts[RELAY]
    with relay.netlink() as netlink:
        (link,) = netlink.get_links(ifname=interface)
    with testbed.hosts[host].inside():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with closing(wire):
        wire.bind((interface, 0))
        for error in errors:
            wire.send(bytes(Ether(dst=link.get("address")) / error))


def learnt(relay: Host, peer: str, source: str) -> int | None:
    """The path MTU that the relay's kernel believes in."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    with relay.netlink() as netlink:
        for route in netlink.route("get", dst=peer, src=source, family=family):
            metrics = route.get("RTA_METRICS")
            return metrics.get("RTAX_MTU") if metrics else None
    return None


def believes(relay: Host, peer: str, source: str) -> bool:
    """Whether the relay's kernel has believed the errors."""
    return learnt(relay, peer, source) == LEAST[6 if ":" in peer else 4]


def fragments(wire: socket.socket) -> int:
    """How many of the packets that wait at an interface are parts of others."""
    found = 0
    while True:
        try:
            frame, source = wire.recvfrom(2048)
        except BlockingIOError:
            return found
        if source[2] == socket.PACKET_OUTGOING:
            continue
        if frame[12:14] == b"\x08\x00":
            found += bool(int.from_bytes(frame[20:22], "big") & 0x3FFF)
        elif frame[12:14] == b"\x86\xdd":
            found += frame[20] == 44  # a fragment header


def watching(host: Host, interface: str) -> socket.socket:
    with host.inside():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        wire.bind((interface, ETH_P_ALL))
    return wire


def counted(testbed: RelayTestbed, name: str) -> int:
    return int(testbed.status()["dataplane_counters"].get(name, 0))


@pytest.mark.parametrize("pair", FAMILIES, ids=lambda pair: f"{pair[0]} to {pair[1]}")
def test_datagrams_leave_whole_and_through_the_kernel(
    testbed: RelayTestbed, pair: tuple[int, int]
) -> None:
    relay = testbed.hosts[RELAY]
    sides = (
        (CLIENT, PUBLIC, vip(pair[0]).host, topology.address(CLIENT, PUBLIC, version=pair[0])),
        (
            TRANSCEIVER,
            INTERNAL,
            topology.address(RELAY, INTERNAL, version=pair[1]),
            topology.address(TRANSCEIVER, INTERNAL, version=pair[1]),
        ),
    )
    with testbed.load(pair, rate=RATE, sizes=(SIZE, SIZE)) as load:
        load.run_for(PAUSE)
        flow = next(
            each
            for each in testbed.status()["flows"]
            if each["upstream"] == str(load.upstreams[-1]) and each["state"] == "confirmed"
        )
        ports = {
            PUBLIC: (vip(pair[0]).port, int(flow["client"].rpartition(":")[2])),
            INTERNAL: (load.upstreams[-1].port, int(flow["transceiver"].rpartition(":")[2])),
        }
        taught, told = [], ROUNDS
        for host, interface, ours, peer in sides:
            sport, dport = ports[interface]
            of_the_flow = UDP(sport=sport, dport=dport) / Raw(bytes(SIZE))
            reply = ICMPv6EchoReply(data=bytes(SIZE)) if ":" in peer else ICMP(type=0) / bytes(SIZE)
            errors = forged(ours, peer, of_the_flow), forged(ours, peer, reply)
            taught.append((host, interface, errors))
            deadline = time.monotonic() + WAIT
            while not believes(relay, peer, ours):
                assert time.monotonic() < deadline, "the kernel believes no forged error"
                teach(testbed, host, interface, *errors)
                told += 1
                load.run_for(PAUSE / 3)
        wires = [watching(testbed.hosts[host], interface) for host, interface, *_ in sides]
        before = {name: counted(testbed, name) for name in ("too_big", "forwarded_to_client")}
        sent = load.to_client.sent
        for _ in range(ROUNDS):  # for longer than any answer of the FIB is used
            for host, interface, errors in taught:
                teach(testbed, host, interface, *errors)
            load.run_for(0.11)
        load.run_for(PAUSE)
        sent = load.to_client.sent - sent
        parts = [fragments(wire) for wire in wires]
        for wire in wires:
            wire.close()
    assert parts == [0, 0], "packets left in fragments"
    # A datagram that a connected socket refuses because of such an error is sent anew, and may come
    # after those that were behind it (`relay.forwarding.batchio`).
    late = min(load.to_transceiver.reordered, told if testbed.dataplane == "userspace" else 0)
    assert load.to_transceiver == Delivery(load.to_transceiver.sent, reordered=late)
    assert load.to_client == Delivery(load.to_client.sent)
    assert testbed.status()["counters"]["icmp_translated"] > 0, "no error was about the flow"
    if testbed.dataplane == "xdp":
        assert counted(testbed, "too_big") == before["too_big"]
        through = counted(testbed, "forwarded_to_client") - before["forwarded_to_client"]
        assert through >= 0.9 * sent
