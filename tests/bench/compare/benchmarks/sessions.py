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
from itertools import islice
from math import inf
from pathlib import Path
from statistics import median, quantiles

from relay.wire.endpoint import Endpoint
from tests.bench.compare.benchmarks.benchmark import Measurement, measurements
from tests.bench.compare.testbed.bpfbuild import Build, built
from tests.bench.compare.testbed.system import System
from tests.bench.compare.testbed.testbed import SENDER_CORE, Testbed
from tests.bench.compare.traffic.affinity import pinned
from tests.bench.compare.traffic.attach import attached
from tests.bench.compare.traffic.checks import LARGEST, MARK_SIZE, binding_request, raw_socket
from tests.lab.errors import LabError
from tests.lab.topology import TRANSCEIVER

RETRANSMIT_SECONDS = 0.25  # after which a request is sent again
WINDOW = 64  # requests under way at a time

_BUILD = Build(str(Path(__file__).resolve().parent), ("answer.bpf.c",), ("answer",))
_TYPE = slice(28, 30)  # of a message, in a packet from its IPv4 header on
_MARK = slice(36, 44)  # the first part of its transaction; the rest is the session's number
_NUMBER = slice(44, 48)
_SUCCESS = (0x0101).to_bytes(2, "big")


class Sessions:
    """Sessions that are opened one after the other, as fast as they can be, and half as fast.

    Args:
        system: What is measured.
        sessions: How many to open as fast as they can be, at most.
        seconds: In which they are opened.
        sequential: How many to open one after the other.
        half: How many to open half as fast.
    """

    name = "sessions"

    def __init__(
        self,
        system: System,
        *,
        sessions: int = 15_000,
        seconds: float = 2.0,
        sequential: int = 500,
        half: int = 4_000,
    ) -> None:
        self.system = system
        self._sessions = sessions
        self._seconds = seconds
        self._sequential = sequential
        self._half = half

    def measure(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: The system does not start, takes no such sessions, or confirms none.
        """
        with Testbed() as testbed, self.system.running(testbed, 1) as running:
            if running.new_ufrag is None:
                raise LabError(f"{self.system.name} opens no flows by Binding requests.")
            count = self._sequential + self._sessions + self._half
            ufrags = [running.new_ufrag() for _ in range(count)]
            clients = [testbed.client(1 + number) for number in range(count)]
            requests = Requests.make(testbed.vip, clients, ufrags)
            with (
                _answering(testbed),
                raw_socket(testbed) as raw,
                pinned((os.getpid(),), SENDER_CORE),
            ):
                numbers = iter(range(count))
                first, most, rest = (
                    list(islice(numbers, each))
                    for each in (self._sequential, self._sessions, self._half)
                )
                sequential = opened(raw, requests, first, Load(1), self._seconds).figures()
                concurrent = opened(raw, requests, most, Load(WINDOW), self._seconds).figures()
                paced = Load(len(rest), concurrent["per_second"] / 2)
                half = opened(raw, requests, rest, paced, self._seconds).figures()
        for figures in (sequential, half):  # those come as they are told to
            del figures["per_second"]
        yield from measurements(self.name, sequential, {"opened": "sequential"})
        yield from measurements(self.name, concurrent, {"opened": "concurrent"})
        yield from measurements(self.name, half, {"opened": "half as fast"})


@dataclass(frozen=True, slots=True)
class Load:
    """How sessions are opened.

    Attributes:
        window: How many may be under way.
        rate: How many a second begin, at most. A session that begins late has begun in time: who
            sends it waits for the relay's processor, too.
    """

    window: int
    rate: float = inf


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
        mark = secrets.token_bytes(MARK_SIZE)
        made = [
            binding_request(client, vip, ufrag, mark, number)
            for number, (client, ufrag) in enumerate(zip(clients, ufrags, strict=True))
        ]
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
        retransmitted: Requests that were sent again.
    """

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    retransmitted: int = 0

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
            "retransmitted_percent": 100 * self.retransmitted / len(waits),
        }


def opened(
    raw: socket.socket, requests: Requests, numbers: Sequence[int], load: Load, seconds: float
) -> Outcome:
    """Open sessions until all are open, or the time is over.

    Args:
        raw: The clients' socket.
        requests: All requests.
        numbers: Which sessions to open.
        load: How many are under way, and how many begin a second.
        seconds: The time.
    """
    outcome = Outcome()
    first: dict[int, float] = {}  # when the request was sent first, of those without an answer
    last: dict[int, float] = {}  # and last
    waiting = iter(numbers)
    begun = now = look = due = time.perf_counter()
    while now < begun + seconds and len(outcome.waits) < len(numbers):
        while (
            len(first) < load.window and due <= now and (number := next(waiting, None)) is not None
        ):
            last[number] = time.perf_counter()
            first[number] = last[number] if load.rate == inf else due
            due += 1 / load.rate
            _send(raw, requests, number)
        if now > look:
            look = now + RETRANSMIT_SECONDS / 5
            for number in [each for each, sent in last.items() if now > sent + RETRANSMIT_SECONDS]:
                last[number] = now
                outcome.retransmitted += 1
                _send(raw, requests, number)
        patience = RETRANSMIT_SECONDS / 5 if load.rate == inf else max(0.0, due - now)
        for packet in _received(raw, min(RETRANSMIT_SECONDS / 5, patience)):
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


def _received(raw: socket.socket, seconds: float) -> Iterator[bytes]:
    """What has come; waits for the first packet so long."""
    select.select([raw], [], [], seconds)
    with suppress(BlockingIOError):
        while True:
            yield raw.recv(LARGEST)


@contextmanager
def _answering(testbed: Testbed) -> Iterator[None]:
    """Let the transceiver's host answer Binding requests."""
    with attached(testbed.hosts[TRANSCEIVER], testbed.interface(TRANSCEIVER), _answer()):
        yield


@cache
def _answer() -> int:
    """The program's descriptor, which stays open as long as this process runs."""
    return built(_BUILD)["answer"]
