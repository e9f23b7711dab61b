"""UDP GRO and GSO between real sockets of the loopback."""

import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from relay.forwarding.gro import SOL_UDP, UDP_GRO, GsoSender, enable_gro

SO_NO_CHECK = 11  # asm-generic/socket.h
SEGMENTS = [bytes([number]) * 100 for number in range(4)] + [b"short"]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket and one that is connected to it."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        sender.connect(receiver.getsockname())
        yield receiver, sender


def send(sender: socket.socket, *segments: bytes) -> list[int]:
    data = memoryview(bytearray(b"".join(segments)))
    return GsoSender().send(sender.fileno(), data, len(segments[0]))


def test_segments_sent_with_one_call_arrive_one_by_one(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    receiver, sender = pair
    assert send(sender, *SEGMENTS) == []
    assert [receiver.recv(1000) for _ in SEGMENTS] == SEGMENTS


def test_with_gro_they_arrive_as_one_with_the_size_of_a_segment(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    receiver, sender = pair
    enable_gro(receiver)
    assert send(sender, *SEGMENTS) == []
    data, control, _, _ = receiver.recvmsg(1000, 100)
    assert data == b"".join(SEGMENTS)
    assert control == [(SOL_UDP, UDP_GRO, struct.pack("=i", len(SEGMENTS[0])))]


def test_where_the_kernel_cannot_segment_each_has_its_call(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    receiver, sender = pair
    sender.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)  # refused for UDP_SEGMENT: EINVAL
    assert send(sender, *SEGMENTS) == []
    assert [receiver.recv(1000) for _ in SEGMENTS] == SEGMENTS


def test_what_is_refused_alone_is_told(pair: tuple[socket.socket, socket.socket]) -> None:
    receiver, sender = pair
    sender.shutdown(socket.SHUT_WR)
    assert send(sender, *SEGMENTS[:2]) == [errno.EPIPE] * 2
    receiver.setblocking(False)
    with pytest.raises(BlockingIOError):
        receiver.recv(1)


def test_a_socket_of_another_protocol_is_left_as_it_is() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        enable_gro(other)
