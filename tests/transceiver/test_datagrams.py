"""Batches over real sockets on loopback."""

import errno
import socket
from collections.abc import Iterator
from select import select

import pytest

from relay.wire.endpoint import Endpoint
from transceiver.datagrams import BATCH, MAX_DATAGRAM, Datagrams

LIMIT = 5.0  # seconds


def bound(host: str) -> socket.socket:
    anywhere = Endpoint(host, 0)
    sock = socket.socket(anywhere.family, socket.SOCK_DGRAM)
    sock.bind(anywhere)
    sock.setblocking(False)
    return sock


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    with bound(request.param) as one, bound(request.param) as other:
        yield one, other


def read(sock: socket.socket, count: int) -> list[tuple[bytes, Endpoint | None]]:
    """So many datagrams, in as few batches as they came."""
    datagrams = Datagrams(sock)
    got: list[tuple[bytes, Endpoint | None]] = []
    while len(got) < count:
        assert select([sock], [], [], LIMIT)[0], got
        batch = datagrams.receive()
        assert len(batch) <= BATCH
        got += batch
    return got


def test_more_than_a_batch_arrives_in_order_with_its_source(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    one, other = pair
    sent = [bytes([22]) + number.to_bytes(2, "big") * (number + 1) for number in range(2 * BATCH)]
    place = Endpoint.of(other.getsockname())
    assert Datagrams(one).send([(data, place) for data in sent]) == []
    source = Endpoint.of(one.getsockname())
    assert read(other, len(sent)) == [(data, source) for data in sent]
    assert Datagrams(other).receive() == []


def test_each_goes_to_its_own_destination(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    places = [Endpoint.of(sock.getsockname()) for sock in pair]
    assert Datagrams(one).send([(b"one", places[0]), (b"other", places[1])]) == []
    assert [data for data, _ in read(one, 1)] == [b"one"]
    assert [data for data, _ in read(other, 1)] == [b"other"]


def test_what_cannot_be_sent_costs_itself(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    place = Endpoint.of(other.getsockname())
    foreign = Endpoint("127.0.0.1" if ":" in place.host else "::1", place.port)
    nowhere = Endpoint(place.host, 0)
    errors = Datagrams(one).send(
        [
            (b"first", place),
            (b"foreign", foreign),
            (bytes(MAX_DATAGRAM + 1), place),
            (b"nowhere", nowhere),
            (b"last", place),
        ]
    )
    assert sorted(errors) == sorted([errno.EAFNOSUPPORT, errno.EMSGSIZE, errno.EINVAL])
    assert [data for data, _ in read(other, 2)] == [b"first", b"last"]


def test_an_empty_datagram_and_one_too_long(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    place = other.getsockname()
    one.sendto(b"", place)
    one.sendto(bytes(MAX_DATAGRAM + 100), place)
    assert [len(data) for data, _ in read(other, 2)] == [0, MAX_DATAGRAM]


def test_a_closed_socket_is_an_error_of_the_kernel() -> None:
    sock = bound("127.0.0.1")
    datagrams = Datagrams(sock)
    sock.close()
    with pytest.raises(OSError, match="Bad file"):
        datagrams.receive()
