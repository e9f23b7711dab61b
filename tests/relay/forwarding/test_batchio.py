"""Batch I/O over connected sockets, by io_uring and without."""

import errno
import socket
from collections.abc import Callable, Iterator

import pytest

from relay.forwarding.batchio import BatchIO, SyscallBatchIO, UringBatchIO, open_batch_io
from relay.forwarding.mmsg import PacketBuffers
from tests.relay.forwarding.tos import CE, ECT0, EF, marking_socket, receive, send

SLOTS = 8
MARKED = pytest.mark.parametrize("tos", [bytes(3), bytes([EF, 0, CE])], ids=["plain", "marked"])


@pytest.fixture(params=[UringBatchIO, SyscallBatchIO])
def open_io(request: pytest.FixtureRequest) -> Callable[[PacketBuffers], BatchIO]:
    kind: Callable[[PacketBuffers], BatchIO] = request.param
    try:
        kind(PacketBuffers(SLOTS)).close()
    except OSError as error:
        pytest.skip(f"this host has no io_uring for us: {error}")
    return kind


class Pairs:
    """Sockets that are connected to one each, every second one over IPv6."""

    def __init__(self) -> None:
        families = [socket.AF_INET, socket.AF_INET6] * (SLOTS // 2)
        self.near, self.far = (list(map(marking_socket, families)) for _ in range(2))
        for near, far in zip(self.near, self.far, strict=True):
            near.connect(far.getsockname())
            near.setblocking(False)
            far.connect(near.getsockname())
        self.fds = [near.fileno() for near in self.near]

    def close(self) -> None:
        for udp in (*self.near, *self.far):
            udp.close()


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    made = Pairs()
    yield made
    made.close()


def test_each_sends_its_own(open_io: Callable[[PacketBuffers], BatchIO], pairs: Pairs) -> None:
    buffers = PacketBuffers(SLOTS)
    batch_io = open_io(buffers)
    # Often enough to go round any ring several times, and never evenly.
    for turn in range(40):
        first, count = turn % 3, 1 + turn % 5
        for slot in range(first, first + count):
            buffers.views[slot][:2] = bytes([turn, slot])
        used = pairs.fds[:count]
        assert batch_io.send(first, used, [2] * count, bytes(count)) == []
        got = [far.recv(10) for far in pairs.far[:count]]
        assert got == [bytes([turn, first + index]) for index in range(count)]
    batch_io.close()


def test_one_socket_keeps_the_order(
    open_io: Callable[[PacketBuffers], BatchIO], pairs: Pairs
) -> None:
    buffers = PacketBuffers(SLOTS)
    batch_io = open_io(buffers)
    for slot in range(SLOTS):
        buffers.views[slot][0] = slot
    assert batch_io.send(0, pairs.fds[:1] * SLOTS, [1] * SLOTS, bytes(SLOTS)) == []
    assert [pairs.far[0].recv(10) for _ in range(SLOTS)] == [bytes([n]) for n in range(SLOTS)]
    batch_io.close()


def test_empty_and_largest_datagrams(
    open_io: Callable[[PacketBuffers], BatchIO], pairs: Pairs
) -> None:
    buffers = PacketBuffers(SLOTS)
    batch_io = open_io(buffers)
    assert batch_io.send(0, pairs.fds[:2], [0, 65_507], bytes(2)) == []
    assert pairs.far[0].recv(10) == b""
    assert len(pairs.far[1].recv(70_000)) == 65_507
    pairs.far[0].send(b"")
    pairs.far[1].send(b"x" * 65_507)
    assert batch_io.receive(pairs.fds[:2]) == [0, 65_507]
    assert buffers.copy(1, 65_507) == b"x" * 65_507
    batch_io.close()


@MARKED
def test_refusals_are_told_and_the_others_go(
    open_io: Callable[[PacketBuffers], BatchIO], pairs: Pairs, tos: bytes
) -> None:
    buffers = PacketBuffers(SLOTS)
    batch_io = open_io(buffers)
    assert batch_io.send(0, pairs.fds[:3], [1, 65_536, 1], tos[:3]) == [errno.EMSGSIZE]
    assert [pairs.far[0].recv(10), pairs.far[2].recv(10)] == [b"\0"] * 2
    batch_io.close()


@MARKED
def test_an_icmp_error_about_an_earlier_datagram_costs_none(
    open_io: Callable[[PacketBuffers], BatchIO], pairs: Pairs, tos: bytes
) -> None:
    buffers = PacketBuffers(SLOTS)
    batch_io = open_io(buffers)
    address = pairs.far[1].getsockname()
    pairs.far[1].close()
    # Its host answers that nobody is there.
    assert batch_io.send(0, pairs.fds[:2], [1, 1], tos[:2]) == []
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as back:
        back.bind(address)
        back.settimeout(5)
        assert batch_io.send(0, pairs.fds[:2], [1, 1], tos[:2]) == []
        assert back.recv(10) == b"\0"
    batch_io.close()


def test_what_waits_is_received_one_of_each(
    open_io: Callable[[PacketBuffers], BatchIO], pairs: Pairs
) -> None:
    buffers = PacketBuffers(SLOTS)
    batch_io = open_io(buffers)
    pairs.far[0].send(b"a")
    pairs.far[0].send(b"bb")
    pairs.far[2].send(b"ccc")
    pairs.near[3].send(b"d")
    pairs.far[3].close()
    pairs.near[3].send(b"e")  # refused: the closed one's host says so
    fds = [pairs.fds[index] for index in (0, 1, 2, 0, 0)]
    sizes = batch_io.receive(fds)
    assert sizes == [1, -errno.EAGAIN, 3, 2, -errno.EAGAIN]
    assert [buffers.copy(slot, size) for slot, size in enumerate(sizes) if size > 0] == [
        *(b"a", b"ccc", b"bb")
    ]
    assert batch_io.receive([pairs.fds[3]]) == [-errno.ECONNREFUSED]
    batch_io.close()


def test_dscp_and_ecn_come_and_go_with_each(
    open_io: Callable[[PacketBuffers], BatchIO], pairs: Pairs
) -> None:
    buffers = PacketBuffers(SLOTS)
    batch_io = open_io(buffers)
    # Over both families; what a slot had before is not left in it.
    for tos in (bytes([EF, CE, ECT0, EF]), bytes([0, 0, CE, EF]), bytes(4)):
        for far, each in zip(pairs.far, tos, strict=False):
            send(far, bytes([each, 1]), each)
        assert batch_io.receive(pairs.fds[:4]) == [2] * 4
        assert batch_io.tos(4) == tos
        assert batch_io.send(0, pairs.fds[:4], [2] * 4, batch_io.tos(4)) == []
        got = [receive(far) for far in pairs.far[:4]]
        assert got == [(bytes([each, 1]), each) for each in tos]
    batch_io.close()


def test_marked_and_plain_datagrams_of_one_socket_keep_their_order(
    open_io: Callable[[PacketBuffers], BatchIO], pairs: Pairs
) -> None:
    buffers = PacketBuffers(SLOTS)
    batch_io = open_io(buffers)
    for slot in range(SLOTS):
        buffers.views[slot][0] = slot
    tos = bytes([0, EF] * (SLOTS // 2 - 1))
    assert batch_io.send(2, pairs.fds[:1] * len(tos), [1] * len(tos), tos) == []
    got = [receive(pairs.far[0]) for _ in tos]
    assert got == [(bytes([slot]), each) for slot, each in enumerate(tos, 2)]
    batch_io.close()


def test_without_io_uring_each_datagram_has_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: PacketBuffers) -> BatchIO:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("relay.forwarding.batchio.UringBatchIO", refuse)
    assert isinstance(open_batch_io(PacketBuffers(SLOTS)), SyscallBatchIO)
