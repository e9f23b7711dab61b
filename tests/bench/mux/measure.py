"""Measures ways to read and write the datagrams of many calls over loopback, in turns."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

from relay.wire.endpoint import Endpoint
from transceiver.datagrams import BATCH, MAX_DATAGRAM, Datagrams
from transceiver.mux import enlarge_buffer

SIZE = 110  # bytes: SRTP with 20 ms of Opus at 32 kb/s
_PEERS = 50


@dataclass(frozen=True, slots=True)
class Result:
    """What a datagram costs, microseconds of processor time.

    Attributes:
        direction: "receive" or "send".
        way: By which system call.
        at_once: How many datagrams wait, or are to be sent.
        median: Of the rounds.
        least: Of the best one.
    """

    direction: str
    way: str
    at_once: int
    median: float
    least: float


class _Stage:
    """The socket of a transceiver, and those of its peers."""

    def __init__(self, stack: ExitStack) -> None:
        self.ours = stack.enter_context(_bound())
        self.peers = [stack.enter_context(_bound()) for _ in range(_PEERS)]
        self.address = Endpoint.of(self.ours.getsockname())
        self.places = [Endpoint.of(peer.getsockname()) for peer in self.peers]
        self.batches = Datagrams(self.ours)
        for sock in (self.ours, *self.peers):
            enlarge_buffer(sock)

    def fill(self, count: int) -> None:
        for number in range(count):
            self.peers[number % _PEERS].sendto(bytes(SIZE), self.address)

    def drain(self) -> int:
        return sum(1 for peer in self.peers for _ in _waiting(peer))


def measure(datagrams: int, rounds: int, sizes: tuple[int, ...] = (1, 8, BATCH)) -> list[Result]:
    """Measure both directions both ways.

    Args:
        datagrams: Of each round.
        rounds: How often each is run.
        sizes: How many datagrams are there at once; each at most `BATCH`.
    """
    ways: dict[tuple[str, str], Callable[[_Stage, int], float]] = {
        ("receive", "recvfrom"): _receive_singly,
        ("receive", "recvmmsg"): _receive_batches,
        ("send", "sendto"): _send_singly,
        ("send", "sendmmsg"): _send_batches,
    }
    todo = [(size, *names) for size in sizes for names in ways]
    times: dict[tuple[int, str, str], list[float]] = {each: [] for each in todo}
    with _stage() as stage:
        for _ in range(rounds):
            for size, direction, way in todo:
                turns = max(1, datagrams // size)
                spent = sum(ways[direction, way](stage, size) for _ in range(turns))
                times[size, direction, way].append(spent / (turns * size) * 1e6)
    return [
        Result(
            direction,
            way,
            size,
            median(times[size, direction, way]),
            min(times[size, direction, way]),
        )
        for size, direction, way in todo
    ]


def _receive_singly(stage: _Stage, count: int) -> float:
    stage.fill(count)
    began, got = time.process_time(), []
    for _ in range(BATCH):
        try:
            data, address = stage.ours.recvfrom(MAX_DATAGRAM)
        except BlockingIOError:
            break
        got.append((data, Endpoint.of(address)))
    spent = time.process_time() - began
    assert len(got) == count
    return spent


def _receive_batches(stage: _Stage, count: int) -> float:
    stage.fill(count)
    began = time.process_time()
    got = stage.batches.receive()
    spent = time.process_time() - began
    assert len(got) == count
    return spent


def _send_singly(stage: _Stage, count: int) -> float:
    todo = _outgoing(stage, count)
    began = time.process_time()
    for data, place in todo:
        stage.ours.sendto(data, place)
    spent = time.process_time() - began
    assert stage.drain() == count
    return spent


def _send_batches(stage: _Stage, count: int) -> float:
    todo = _outgoing(stage, count)
    began = time.process_time()
    errors = stage.batches.send(todo)
    spent = time.process_time() - began
    assert not errors
    assert stage.drain() == count
    return spent


def _outgoing(stage: _Stage, count: int) -> list[tuple[bytes, Endpoint]]:
    return [(bytes(SIZE), stage.places[number % _PEERS]) for number in range(count)]


def _waiting(sock: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            yield sock.recv(MAX_DATAGRAM)
        except BlockingIOError:
            return


@contextmanager
def _stage() -> Iterator[_Stage]:
    with ExitStack() as stack:
        yield _Stage(stack)


def _bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock
