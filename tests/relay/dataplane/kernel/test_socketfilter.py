"""Socket filters on real sockets: what they let through, what they drop, and what they count."""

import socket
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager

import pytest
from scapy.layers.inet import UDP
from scapy.layers.l2 import Ether

from relay.dataplane.kernel.ingresses import LOOPBACK
from relay.dataplane.kernel.socketfilter import FilterPrograms, SocketFilters
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.lab.topology import IFA_F_NODAD
from tests.netns.wire import Wire, datagram_frame

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

OWN = Endpoint("2001:db8::1", 3478)
OTHER, THIRD = 7, 9  # interfaces that nothing comes in through here


class Pair:
    """A socket that receives, and one that sends to it."""

    def __init__(self, host: str) -> None:
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.receiver = socket.socket(self.family, socket.SOCK_DGRAM)
        self.sender = socket.socket(self.family, socket.SOCK_DGRAM)
        self.receiver.bind((host, 0))
        self.receiver.settimeout(5)
        self.sender.connect(self.receiver.getsockname())

    def send(self, data: bytes, ttl: int = 64) -> None:
        if self.family == socket.AF_INET:
            self.sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        else:
            self.sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        self.sender.send(data)

    def close(self) -> None:
        self.receiver.close()
        self.sender.close()


def filtered(outside: Collection[int]) -> SocketFilters:
    return SocketFilters(FilterPrograms(outside))


@pytest.fixture(params=["127.0.0.1", "::1"], ids=["ipv4", "ipv6"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with closing(Pair(request.param)) as made:
        yield made


@pytest.mark.parametrize("to_transceivers", [True, False])
def test_what_is_spent_is_dropped_and_counted(pair: Pair, *, to_transceivers: bool) -> None:
    with closing(filtered({OTHER, THIRD})) as filters:
        filters.attach(pair.receiver, to_transceivers=to_transceivers)
        pair.send(b"spent", ttl=1)
        pair.send(b"nearly", ttl=2)
        assert pair.receiver.recv(100) == b"nearly"
        assert filters.dropped() == {"ttl_expired": 1}


@pytest.mark.parametrize("outside", [{LOOPBACK}, {LOOPBACK, OTHER}, {0, LOOPBACK, OTHER}])
def test_what_comes_from_outside_to_an_upstream_address_is_dropped(
    pair: Pair, outside: set[int]
) -> None:
    with closing(filtered(outside)) as filters:
        filters.attach(pair.receiver, to_transceivers=True)
        for _ in range(3):
            pair.send(b"a lie")
        filters.attach(pair.receiver, to_transceivers=False)  # a VIP is for everybody
        pair.send(bytes(1400))
        assert pair.receiver.recv(2000) == bytes(1400)
        assert filters.dropped() == {"wrong_side": 3}


@pytest.mark.parametrize("to_transceivers", [True, False])
def test_this_host_may_talk_to_itself(pair: Pair, *, to_transceivers: bool) -> None:
    with closing(filtered(())) as filters:
        filters.attach(pair.receiver, to_transceivers=to_transceivers)
        pair.send(b"from here")
        assert pair.receiver.recv(100) == b"from here"
        assert filters.dropped() == {}


@pytest.fixture(scope="module")
def own_mac(host: Host) -> str:
    """Of the interface that has this host's address."""
    host.sysctl("ipv6/conf/b/disable_ipv6", 0)
    with host.netlink() as netlink:
        (index,) = netlink.link_lookup(ifname="b")
        netlink.addr("add", index=index, address=OWN.host, prefixlen=64, flags=IFA_F_NODAD)
        (link,) = netlink.get_links(ifname="b")
    return str(link.get("address"))


@contextmanager
def cabled(host: Host) -> Iterator[tuple[Wire, socket.socket, SocketFilters]]:
    """A cable to a host, a socket at its address, and filters."""
    with (
        host.inside(),
        closing(Wire(host, "b-far")) as cable,
        closing(filtered(())) as filters,
        closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as udp,
    ):
        udp.settimeout(5)
        udp.bind(OWN)
        yield cable, udp, filters


def test_nobody_else_has_an_address_of_this_host(host: Host, own_mac: str) -> None:
    with cabled(host) as (cable, udp, filters):
        filters.attach(udp, to_transceivers=False)
        ether = Ether(src=cable.mac, dst=own_mac)
        for sender in (OWN.host, "2001:db8::7"):
            cable.send(datagram_frame(ether, Endpoint(sender, 5000), OWN, sender.encode()))
        assert udp.recv(100) == b"2001:db8::7"
        assert filters.dropped() == {"own_source": 1}


def test_what_linux_takes_and_no_host_should_is_dropped(host: Host, own_mac: str) -> None:
    """A unicast datagram in a frame to many, and a length of 0."""
    source = Endpoint("2001:db8::7", 5000)
    with cabled(host) as (cable, udp, filters):
        plain = datagram_frame(Ether(src=cable.mac, dst=own_mac), source, OWN, b"plain")
        many = (b"\xff" * 6, bytes.fromhex("333300000001"))
        lengthless = Ether(plain)
        lengthless[UDP].len, lengthless[UDP].chksum = 0, None
        odd = [mac + plain[6:] for mac in many] + [bytes(lengthless)]
        for frame in (*odd, plain):
            cable.send(frame)
        assert [udp.recv(100) for _ in range(4)] == [b"plain"] * 4
        filters.attach(udp, to_transceivers=False)
        for frame in (*odd, plain):
            cable.send(frame)
        assert udp.recv(100) == b"plain"
        assert filters.dropped() == {"group_mac": 2, "zero_length": 1}


def test_sockets_keep_their_filter(pair: Pair) -> None:
    with closing(filtered(())) as filters:
        filters.attach(pair.receiver, to_transceivers=True)
        assert filters.dropped() == {}
    pair.send(b"spent", ttl=1)
    pair.send(b"nearly", ttl=2)
    assert pair.receiver.recv(100) == b"nearly"
