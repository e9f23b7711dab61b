"""Socket filters on real sockets: what they let through, what they drop, and what they count."""

import socket
from collections.abc import Collection, Iterator
from contextlib import closing

import pytest

from relay.dataplane.kernel.ingresses import LOOPBACK
from relay.dataplane.kernel.socketfilter import FilterPrograms, SocketFilters

pytestmark = pytest.mark.bpf

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


def test_sockets_keep_their_filter(pair: Pair) -> None:
    with closing(filtered(())) as filters:
        filters.attach(pair.receiver, to_transceivers=True)
        assert filters.dropped() == {}
    pair.send(b"spent", ttl=1)
    pair.send(b"nearly", ttl=2)
    assert pair.receiver.recv(100) == b"nearly"
