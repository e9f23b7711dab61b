"""Structures for the kernel, as the kernel takes them: DSCP and ECN of batches."""

import ctypes
import socket
from collections.abc import Iterator

import pytest

from relay.forwarding.msghdr import HEADER_SIZE, ReceivedHeaders, SentHeaders, has_tos
from relay.wire.endpoint import Endpoint
from tests.relay.forwarding.tos import CE, ECT0, EF, HOSTS, marking_socket, receive, send

SLOTS, SIZE = 4, 64
_libc = ctypes.CDLL(None, use_errno=True)


class Slots:
    """Memory for some datagrams."""

    def __init__(self) -> None:
        self.memory = [ctypes.create_string_buffer(bytes([slot]), SIZE) for slot in range(SLOTS)]
        self.addresses = [ctypes.addressof(each) for each in self.memory]


@pytest.fixture(params=HOSTS, ids=["ipv4", "ipv6"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    with marking_socket(request.param) as one, marking_socket(request.param) as other:
        one.connect(other.getsockname())
        other.connect(one.getsockname())
        yield one, other


def at(address: int, slot: int) -> ctypes.c_void_p:
    return ctypes.c_void_p(address + slot * HEADER_SIZE)


def test_a_socket_of_either_family_takes_the_same_control_messages(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    here, there = pair
    slots = Slots()
    headers = SentHeaders(slots.addresses)
    for first, tos in ((0, bytes([EF, 0, CE, ECT0])), (1, bytes([0, EF])), (2, bytes(2))):
        headers.tell_tos(first, tos)
        for slot in range(first, first + len(tos)):
            headers.lengths[slot] = 1
            assert _libc.sendmsg(here.fileno(), at(headers.address, slot), 0) == 1
        assert [receive(there) for _ in tos] == [
            (bytes([slot]), each) for slot, each in enumerate(tos, first)
        ]


def test_what_is_received_tells_its_own(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    slots = Slots()
    headers = ReceivedHeaders(slots.addresses)
    for tos in (bytes([EF, 0, CE, ECT0]), bytes([0, EF]), bytes(3)):
        headers.empty()
        for slot, each in enumerate(tos):
            send(there, b"x", each)
            assert _libc.recvmsg(here.fileno(), at(headers.address, slot), 0) == 1
        assert headers.tos(len(tos)) == tos


def test_a_socket_that_is_not_told_has_none(pair: tuple[socket.socket, socket.socket]) -> None:
    here, _ = pair
    with socket.socket(here.family, socket.SOCK_DGRAM) as deaf, marking_socket(here.family) as far:
        deaf.bind((HOSTS[here.family], 0))
        slots = Slots()  # which the kernel writes to
        headers = ReceivedHeaders(slots.addresses)
        headers.empty()
        send(far, b"x", EF, Endpoint.of(deaf.getsockname()))
        assert _libc.recvmsg(deaf.fileno(), at(headers.address, 0), 0) == 1
        assert headers.tos(1) == bytes(1)


@pytest.mark.parametrize(
    ("tos", "some"), [(b"", False), (bytes(9), False), (bytes([0, 0, 1]), True), (b"\xff", True)]
)
def test_whether_any_has_one(tos: bytes, some: bool) -> None:
    assert has_tos(tos) is some
