"""Datagrams that leave together: when, in which order, and what happens to those that cannot."""

import select
import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from relay.forwarding.batchio import SyscallBatchIO, open_batch_io
from relay.forwarding.mmsg import to_sockaddr
from relay.forwarding.outbox import SIZE, Outbox
from relay.wire.endpoint import Endpoint
from tests.relay.forwarding.tos import CE, EF, receive, tell

HOSTS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


class Bench:
    """An outbox, and sockets that it sends by."""

    def __init__(self, outbox: Outbox, counters: Counter[str]) -> None:
        self.outbox = outbox
        self.counters = counters
        self._open: list[socket.socket] = []

    def udp(self, family: int = socket.AF_INET) -> socket.socket:
        udp = socket.socket(family, socket.SOCK_DGRAM)
        udp.bind((HOSTS[socket.AddressFamily(family)], 0))
        udp.settimeout(5)
        self._open.append(udp)
        return udp

    def connected(self) -> tuple[socket.socket, socket.socket]:
        here, there = self.udp(), self.udp()
        here.connect(there.getsockname())
        return here, there

    def send_to(self, here: socket.socket, there: socket.socket, data: bytes, tos: int = 0) -> None:
        destination = to_sockaddr(Endpoint.of(there.getsockname()).packed)
        self.outbox.send_to(here.fileno(), here.family, destination, data, tos)

    def close(self) -> None:
        self.outbox.close()
        for udp in self._open:
            udp.close()


@pytest.fixture(params=[open_batch_io, SyscallBatchIO], ids=["fastest", "syscalls"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    counters: Counter[str] = Counter()
    made = Bench(Outbox(counters, request.param), counters)
    yield made
    made.close()


def received(udp: socket.socket, count: int) -> list[bytes]:
    """So many datagrams, and that there are no more for now."""
    got = [udp.recv(70_000) for _ in range(count)]
    assert not select.select([udp], [], [], 0)[0]
    return got


def test_what_nobody_holds_leaves_at_once(bench: Bench) -> None:
    here, there = bench.connected()
    bench.outbox.send(here.fileno(), b"one")
    assert received(there, 1) == [b"one"]
    bench.send_to(here, there, b"two")
    assert received(there, 1) == [b"two"]


def test_what_is_held_leaves_at_the_end_in_its_order(bench: Bench) -> None:
    (here, there), (others, theirs) = bench.connected(), bench.connected()
    vip, client = bench.udp(), bench.udp()
    vip6, client6 = bench.udp(socket.AF_INET6), bench.udp(socket.AF_INET6)
    receivers = there, theirs, client, client6
    with bench.outbox:
        for data in (b"", b"one", b"two" * 400):
            bench.outbox.send(here.fileno(), data)
            bench.send_to(vip, client, data)
            bench.outbox.send(others.fileno(), data[:2])
            bench.send_to(vip6, client6, data[:3])
        assert [received(each, 0) for each in receivers] == [[], [], [], []]
    whole = [b"", b"one", b"two" * 400]
    assert [received(each, 3) for each in receivers] == [
        whole,
        [b"", b"on", b"tw"],
        whole,
        [b"", b"one", b"two"],
    ]


def test_no_more_is_held_than_there_is_room_for(bench: Bench) -> None:
    here, there = bench.connected()
    sent = [bytes([number]) for number in range(SIZE + 1)]
    with bench.outbox:
        for each in sent:
            bench.outbox.send(here.fileno(), each)
        assert received(there, SIZE) == sent[:SIZE]
    assert received(there, 1) == sent[SIZE:]


def test_who_closes_a_socket_sends_before(bench: Bench) -> None:
    here, there = bench.connected()
    with bench.outbox:
        bench.outbox.send(here.fileno(), b"last")
        bench.outbox.flush()
        assert received(there, 1) == [b"last"]


def test_what_cannot_leave_is_counted_and_the_rest_leaves(bench: Bench) -> None:
    here, there = bench.connected()
    with bench.outbox:
        for data in (b"one", bytes(65_520), b"two"):
            bench.outbox.send(here.fileno(), data)
            bench.send_to(here, there, data)
    assert sorted(received(there, 4)) == [b"one", b"one", b"two", b"two"]
    assert bench.counters == {"send_failed_emsgsize": 2}


@pytest.mark.parametrize("family", HOSTS)
def test_each_leaves_with_its_dscp_and_ecn(bench: Bench, family: int) -> None:
    here, there = bench.udp(family), bench.udp(family)
    here.connect(there.getsockname())
    tell(there)
    sent = [(b"one", EF), (b"two", 0), (b"three", CE)]
    for _ in range(2):
        with bench.outbox:
            for data, tos in sent:
                bench.outbox.send(here.fileno(), data, tos)
        assert [receive(there) for _ in sent] == sent
        with bench.outbox:
            for data, tos in sent:
                bench.send_to(here, there, data, tos)
        assert [receive(there) for _ in sent] == sent


def test_an_error_ends_the_holding(bench: Bench) -> None:
    here, there = bench.connected()

    def fail() -> None:
        with bench.outbox:
            bench.outbox.send(here.fileno(), b"before")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    bench.outbox.send(here.fileno(), b"after")
    assert received(there, 2) == [b"before", b"after"]
