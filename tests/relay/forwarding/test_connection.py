"""One connection: what it takes, how much it lets wait, and what it is too late with."""

import select
import time
from collections.abc import Iterator
from itertools import count

import pytest

from relay.core.flow import Flow, State
from relay.core.flowtuple import FlowTuple, Source
from relay.core.limits import ConnectionLimits
from relay.forwarding.connection import READ_SIZE, Connection
from relay.wire.errors import FramingError
from relay.wire.framing import HEADER_SIZE, frame
from relay.wire.transport import Transport
from tests.relay.conftest import ADDRESSES, ALICE, FIRST, RTP, VIP
from tests.relay.forwarding.tcppair import WAIT, TcpClient, listening

LIMITS = ConnectionLimits(first_frame=5.0, idle=60.0, longest=100, unsent=10_000)
SOURCE = Source(ALICE, VIP, Transport.TCP)
FLOW = Flow(FlowTuple(ALICE, VIP, ALICE, ADDRESSES[FIRST], bytes(21)), State.PENDING, 0.0, 0.0)


class Pair:
    """Both sides of a connection."""

    def __init__(self, *, takes_little: bool = False) -> None:
        listener, address = listening()
        with listener:
            self.client = TcpClient(address, takes_little=takes_little)
            listener.setblocking(True)
            self.tcp, _ = listener.accept()
        self.tcp.setblocking(False)
        self.client.tcp.settimeout(WAIT)
        self.connection = Connection(self.tcp, SOURCE, LIMITS, 0.0)

    def receive(self, now: float = 0.0) -> list[bytes]:
        """What a read gives, when there is something to read."""
        deadline = time.monotonic() + WAIT
        while True:
            before = self.connection._frames.rest
            got = list(self.connection.receive(now))
            if got or self.connection._frames.rest != before:
                return got
            assert time.monotonic() < deadline

    def close(self) -> None:
        self.tcp.close()
        self.client.tcp.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


@pytest.fixture
def slow() -> Iterator[Pair]:
    made = Pair(takes_little=True)
    yield made
    made.close()


def test_datagrams_come_out_of_frames_and_go_in_frames(pair: Pair) -> None:
    pair.client.tcp.sendall(frame(b"one") + frame(b"two") + frame(b"three")[:4])
    assert pair.receive() == [b"one", b"two"]
    pair.client.tcp.sendall(frame(b"three")[4:])
    assert pair.receive() == [b"three"]
    assert list(pair.connection.receive(0.0)) == []  # nothing came
    assert pair.connection.send(RTP)
    assert pair.client.tcp.recv(1000) == frame(RTP)
    assert not pair.connection.is_behind


def test_a_client_that_closes_and_one_that_resets_are_told_apart(pair: Pair) -> None:
    pair.client.tcp.close()
    with pytest.raises(EOFError):
        pair.receive()
    other = Pair()
    other.client.reset()
    with pytest.raises(ConnectionResetError):
        other.receive()
    other.close()


def test_a_bad_frame_ends_what_comes(pair: Pair) -> None:
    size = LIMITS.longest + 1
    pair.client.tcp.sendall(frame(b"") + frame(b"one") + size.to_bytes(2, "big"))
    datagrams: Iterator[bytes] = iter(())
    deadline = time.monotonic() + WAIT
    while not (first := next(datagrams, b"")):
        assert time.monotonic() < deadline
        datagrams = iter(pair.connection.receive(0.0))
    assert first == b"one"
    with pytest.raises(FramingError):
        next(datagrams)


def test_one_read_takes_little_however_much_waits(pair: Pair) -> None:
    pair.client.tcp.sendall(frame(b"x") * 10_000)
    assert 0 < len(pair.receive()) <= READ_SIZE // (HEADER_SIZE + 1) + 1


def test_what_a_slow_client_does_not_take_waits_up_to_a_bound_and_is_then_dropped(
    slow: Pair,
) -> None:
    sent = []
    for number in count():
        datagram = number.to_bytes(4, "big") * 25
        if not slow.connection.send(datagram):
            break
        sent.append(datagram)
    waiting = len(slow.connection._unsent)
    assert LIMITS.unsent - 102 < waiting <= LIMITS.unsent
    assert slow.connection.is_behind
    assert not slow.connection.send(RTP * 3)
    # The kernel does not hold much more, and what was accepted comes whole and in order.
    assert len(sent) * 102 - waiting < 100_000
    received, expected = b"", b"".join(map(frame, sent))
    while len(received) < len(expected):
        received += slow.client.tcp.recv(1 << 20)
        slow.connection.flush()
    assert received == expected
    assert not slow.connection.is_behind
    assert slow.connection.send(RTP)


def test_the_longest_datagram_waits_even_if_it_is_beyond_the_bound(slow: Pair) -> None:
    longest = bytes(65_507)
    while not slow.connection.is_behind:
        assert slow.connection.send(longest)
    assert len(slow.connection._unsent) <= len(frame(longest))
    assert not slow.connection.send(b"more")


def test_sending_on_a_broken_connection_is_no_failure_and_reading_tells(pair: Pair) -> None:
    pair.client.reset()
    while not select.select([pair.tcp], [], [], WAIT)[0]:
        pytest.fail("the reset does not come")
    for _ in range(3):  # the first is told of the reset, the others that it is closed
        assert pair.connection.send(RTP)
        assert not pair.connection.is_behind
    with pytest.raises(EOFError):
        pair.receive()


def test_the_first_frame_is_late_after_its_time_however_its_bytes_trickle(pair: Pair) -> None:
    for now, byte in enumerate(frame(b"ab")[:-1]):
        pair.client.tcp.sendall(bytes([byte]))
        assert pair.receive(float(now)) == []
    assert pair.connection.overdue(5.0) is None
    assert pair.connection.overdue(5.1) == "first_frame_late"


def test_a_later_frame_is_late_after_its_time_however_its_bytes_trickle(pair: Pair) -> None:
    pair.connection.flows.append(FLOW)
    pair.client.tcp.sendall(frame(b"one") + b"\x00")
    assert pair.receive(10.0) == [b"one"]
    for now in (12.0, 14.0):
        pair.client.tcp.sendall(b"\x63")
        assert pair.receive(now) == []
        assert pair.connection.overdue(now) is None
    assert pair.connection.overdue(15.0) is None
    assert pair.connection.overdue(15.1) == "frame_late"


def test_a_stream_of_frames_is_never_late_though_reads_end_in_the_middle_of_them(
    pair: Pair,
) -> None:
    pair.connection.flows.append(FLOW)
    pair.client.tcp.sendall(b"\x00")
    pair.receive(0.0)
    for now in range(1, 50):
        pair.client.tcp.sendall(b"\x03on")
        pair.receive(float(now))
        pair.client.tcp.sendall(b"e\x00")
        pair.receive(float(now))
        assert pair.connection.overdue(float(now)) is None


def test_a_client_that_says_nothing_more_is_idle(pair: Pair) -> None:
    pair.connection.flows.append(FLOW)
    pair.client.tcp.sendall(frame(b"one"))
    assert pair.receive(10.0) == [b"one"]
    assert pair.connection.overdue(70.0) is None
    assert pair.connection.overdue(70.1) == "idle"
    pair.connection.send(RTP)  # what is sent to it does not count
    assert pair.connection.overdue(70.1) == "idle"


def test_it_is_resumed_where_it_was(pair: Pair) -> None:
    pair.client.tcp.sendall(frame(RTP)[:4])
    pair.receive(now=7.0)
    midway = pair.connection.midway
    assert (midway.rest, midway.unsent) == (frame(RTP)[:4].hex(), "")
    again = Connection(pair.tcp, SOURCE, LIMITS, 0.0)
    again.resume(midway)
    assert again.midway == midway
    pair.connection = again
    pair.client.tcp.sendall(frame(RTP)[4:])
    assert pair.receive(now=8.0) == [RTP]
