"""New sessions: how many a second a relay confirms, and what it makes the first packet wait.

A session is a client address that was never seen before, with a ufrag of its own: a Binding
request goes to the transceiver, and its success comes back. The transceiver is a BPF program
(answer.bpf.c), and the clients are prepared beforehand, so that the relay is the limit as far as
Python can send: some ten thousand sessions a second.
"""

import os
import secrets
import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import median, quantiles

from relay.wire.endpoint import Endpoint
from relay.wire.stun import BINDING, TRANSACTION_ID_SIZE, Attribute, Message, MessageClass
from tests.bench.compare.bpfbuild import Build, built
from tests.bench.compare.model import Contestant, Measurement
from tests.bench.compare.testbed import SENDER_CORE, Arena
from tests.bench.compare.traffic import packets
from tests.bench.compare.traffic.ends import attached
from tests.lab.errors import LabError
from tests.lab.topology import CLIENT, TRANSCEIVER

AGAIN_SECONDS = 0.25  # after which a request is sent again

_BUILD = Build(str(Path(__file__).resolve().parent), ("answer.bpf.c",), ("answer",))
_PASSWORD = b"the password of both ends"
_PRIORITY = (1862270975).to_bytes(4, "big")  # of a peer-reflexive candidate, as browsers compute it
_NUMBER_SIZE = 4
_TYPE = slice(28, 30)  # of a message, in a packet from its IPv4 header on
_MARK = slice(36, 44)  # the first part of its transaction; the rest is the session's number
_NUMBER = slice(44, 48)
_SUCCESS = (0x0101).to_bytes(2, "big")
_LARGEST = 2048
_BUFFER_BYTES = 8 << 20
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; the socket module does not name it


class Sessions:
    """Sessions that are opened as fast as they can be, and others one after the other.

    Args:
        contestant: Whom to ask.
        sessions: How many to open, at most.
        seconds: In which they are opened.
        window: How many requests are under way at a time.
        alone: How many to open one after the other.
    """

    name = "sessions"

    def __init__(
        self,
        contestant: Contestant,
        *,
        sessions: int = 15_000,
        seconds: float = 2.0,
        window: int = 64,
        alone: int = 500,
    ) -> None:
        self.contestant = contestant.name
        self._asked = contestant
        self._sessions = sessions
        self._seconds = seconds
        self._window = window
        self._alone = alone

    def missing(self) -> str | None:
        """Why it cannot be asked on this machine."""
        return self._asked.missing()

    def ask(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: The contestant does not start, takes no such sessions, or confirms none.
        """
        with Arena() as arena, self._asked.running(arena, 1) as running:
            if running.new_ufrag is None:
                raise LabError(f"{self.contestant} opens no flows by Binding requests.")
            count = self._alone + self._sessions
            ufrags = [running.new_ufrag() for _ in range(count)]
            clients = [arena.client(1 + number) for number in range(count)]
            requests = Requests.make(arena.vip, clients, ufrags)
            with _answering(arena), _clients(arena) as raw, _on_core(SENDER_CORE):
                alone = opened(raw, requests, range(self._alone), 1, self._seconds)
                many = range(self._alone, count)
                together = opened(raw, requests, many, self._window, self._seconds)
        yield from self._told("alone", alone)
        yield from self._told("together", together)

    def _told(self, how: str, outcome: "Outcome") -> Iterator[Measurement]:
        for metric, value in outcome.figures().items():
            # Those that come one after the other come as fast as they are answered.
            if how == "together" or metric != "per_second":
                yield Measurement(self.name, self.contestant, metric, value, {"opened": how})


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests that were prepared.

    Attributes:
        host: Where they go.
        mark: What their transactions begin with.
        packets: One for each session, from the IPv4 header on.
    """

    host: str
    mark: bytes
    packets: Sequence[bytes]

    @classmethod
    def make(cls, vip: Endpoint, clients: Sequence[Endpoint], ufrags: Sequence[str]) -> "Requests":
        """Prepare requests of clients, each with the ufrag that it names."""
        mark = secrets.token_bytes(TRANSACTION_ID_SIZE - _NUMBER_SIZE)
        made = []
        for number, (client, ufrag) in enumerate(zip(clients, ufrags, strict=True)):
            attributes = (
                (int(Attribute.USERNAME), f"{ufrag}:bench".encode()),
                (int(Attribute.PRIORITY), _PRIORITY),
                (int(Attribute.ICE_CONTROLLING), mark),
                (int(Attribute.USE_CANDIDATE), b""),
            )
            transaction = mark + number.to_bytes(_NUMBER_SIZE, "big")
            message = Message(MessageClass.REQUEST, BINDING, transaction, attributes)
            made.append(packets.packet(client, vip, message.serialize(_PASSWORD)))
        return cls(vip.host, mark, made)

    def answered(self, packet: bytes) -> int | None:
        """The session that a packet is the success of; None when it is something else."""
        if packet[_TYPE] != _SUCCESS or packet[_MARK] != self.mark:
            return None
        return int.from_bytes(packet[_NUMBER], "big")


@dataclass(slots=True)
class Outcome:
    """How sessions were opened.

    Attributes:
        seconds: How long it took.
        waits: From the first request of each session to its success, in seconds.
        again: Requests that were sent again.
    """

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    again: int = 0

    def figures(self) -> dict[str, float]:
        """The figures as metrics.

        Raises:
            LabError: There are too few.
        """
        if len(self.waits) < 2:
            raise LabError("The relay confirms no sessions.")
        waits = sorted(1e6 * each for each in self.waits)
        return {
            "per_second": len(waits) / self.seconds,
            "p50_us": median(waits),
            "p99_us": quantiles(waits, n=100, method="inclusive")[-1],
            "again_percent": 100 * self.again / len(waits),
        }


def opened(
    raw: socket.socket, requests: Requests, numbers: range, window: int, seconds: float
) -> Outcome:
    """Open sessions until all are open, or the time is over.

    Args:
        raw: The clients' socket.
        requests: All requests.
        numbers: Which sessions to open.
        window: How many may be under way.
        seconds: The time.
    """
    outcome = Outcome()
    first: dict[int, float] = {}  # when the request was sent first, of those without an answer
    last: dict[int, float] = {}  # and last
    waiting = iter(numbers)
    begun = now = look = time.perf_counter()
    while now < begun + seconds and len(outcome.waits) < len(numbers):
        while len(first) < window and (number := next(waiting, None)) is not None:
            first[number] = last[number] = time.perf_counter()
            _send(raw, requests, number)
        if now > look:
            look = now + AGAIN_SECONDS / 5
            for number in [each for each, sent in last.items() if now > sent + AGAIN_SECONDS]:
                last[number] = now
                outcome.again += 1
                _send(raw, requests, number)
        for packet in _received(raw):
            answered = requests.answered(packet)
            if answered in first:
                last.pop(answered)
                outcome.waits.append(time.perf_counter() - first.pop(answered))
        now = time.perf_counter()
    outcome.seconds = now - begun
    return outcome


def _send(raw: socket.socket, requests: Requests, number: int) -> None:
    with suppress(BlockingIOError):  # it is sent again
        raw.sendto(requests.packets[number], (requests.host, 0))


def _received(raw: socket.socket) -> Iterator[bytes]:
    """What has come; waits for the first packet a moment."""
    select.select([raw], [], [], AGAIN_SECONDS / 5)
    with suppress(BlockingIOError):
        while True:
            yield raw.recv(_LARGEST)


@contextmanager
def _clients(arena: Arena) -> Iterator[socket.socket]:
    """A socket for whole packets of all clients."""
    with arena.hosts[CLIENT].inside():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    with raw:
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        raw.setblocking(False)
        yield raw


@contextmanager
def _answering(arena: Arena) -> Iterator[None]:
    """Let the transceiver's host answer Binding requests."""
    with attached(arena.hosts[TRANSCEIVER], arena.interface(TRANSCEIVER), _answer()):
        yield


@cache
def _answer() -> int:
    """The program's descriptor, which stays open as long as this process runs."""
    return built(_BUILD)["answer"]


@contextmanager
def _on_core(core: int) -> Iterator[None]:
    """Run this thread on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
