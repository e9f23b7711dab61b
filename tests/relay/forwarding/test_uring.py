"""Prepared requests of a real io_uring."""

import ctypes
import errno
import os
import socket
from collections.abc import Iterator

import pytest

from relay.forwarding.msghdr import HEADER_SIZE, MessageHeaders
from relay.forwarding.uring import OP_RECVMSG, OP_SEND, SKIP_SUCCESS, Ring

ENTRIES = 4
SIZE = 100


class Requests:
    """A ring whose requests each have memory of their own, and two sockets that are connected."""

    def __init__(self) -> None:
        self.ring = Ring(ENTRIES)
        self.memory = [ctypes.create_string_buffer(SIZE) for _ in range(ENTRIES)]
        addresses = [ctypes.addressof(memory) for memory in self.memory]
        self.headers = MessageHeaders(addresses, name_size=0, control=bytes(8))
        self.here, self.there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.there.settimeout(5)

    def prepare(self, request: int, opcode: int, length: int = SIZE, flags: int = 0) -> None:
        address = ctypes.addressof(self.memory[request])
        if opcode == OP_RECVMSG:
            address = self.headers.address + request * HEADER_SIZE
        self.ring.prepare(request, opcode, address, length, flags)
        self.ring.fds[request] = self.here.fileno()

    def close(self) -> None:
        self.ring.close()
        self.here.close()
        self.there.close()


@pytest.fixture
def requests() -> Iterator[Requests]:
    try:
        made = Requests()
    except OSError as error:
        pytest.skip(f"this host has no io_uring for us: {error}")
    yield made
    made.close()


def test_requests_are_done_in_their_order(requests: Requests) -> None:
    for request in range(ENTRIES):
        requests.prepare(request, OP_SEND, 1)
        requests.memory[request][0] = bytes([request])
    assert requests.ring.submit(0, ENTRIES) == [(request, 1) for request in range(ENTRIES)]
    assert [requests.there.recv(10) for _ in range(ENTRIES)] == [b"\0", b"\1", b"\2", b"\3"]


def test_some_are_done_again_and_again_around_the_ring(requests: Requests) -> None:
    for request in range(ENTRIES):
        requests.prepare(request, OP_SEND, 1)
    for turn in range(5 * ENTRIES):
        first, count = turn % 2, 1 + turn % 3
        for request in range(first, first + count):
            requests.memory[request][0] = bytes([turn])
        done = requests.ring.submit(first, count)
        assert done == [(request, 1) for request in range(first, first + count)]
        assert [requests.there.recv(10) for _ in range(count)] == [bytes([turn])] * count


def test_a_length_is_changed_after_preparing(requests: Requests) -> None:
    requests.prepare(0, OP_SEND)
    requests.memory[0].value = b"abcdef"
    requests.ring.lengths[0] = 3
    requests.ring.submit(0, 1)
    assert requests.there.recv(10) == b"abc"


def test_receiving_never_waits(requests: Requests) -> None:
    for request in range(3):
        requests.prepare(request, OP_RECVMSG, 1)
    requests.there.send(b"first")
    requests.there.send(b"2")
    assert requests.ring.submit(0, 3) == [(0, 5), (1, 1), (2, -errno.EAGAIN)]
    assert (requests.memory[0].value, requests.memory[1].value) == (b"first", b"2")


def test_of_quiet_requests_only_failures_are_told(requests: Requests) -> None:
    for request in range(3):
        requests.prepare(request, OP_SEND, 1, SKIP_SUCCESS)
    requests.ring.fds[1] = os.open(os.devnull, os.O_WRONLY)
    try:
        assert requests.ring.submit(0, 3) == [(1, -errno.ENOTSOCK)]
    finally:
        os.close(requests.ring.fds[1])
    assert requests.there.recv(10) == requests.there.recv(10) == b"\0"


def test_a_ring_that_the_kernel_refuses() -> None:
    with pytest.raises(OSError, match=r"Invalid argument|not implemented|not permitted"):
        Ring(0)
