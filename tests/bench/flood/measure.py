"""Calls through each system while it is quiet, and while strangers flood it."""

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from random import Random
from statistics import median, quantiles
from typing import Any

from relay.admin.transport import ask
from tests.bench.compare.benchmarks.sessions import Requests
from tests.bench.compare.benchmarks.usage import cpu_seconds, process_bytes
from tests.bench.compare.systems.coturn import Coturn
from tests.bench.compare.systems.gorelay import GO_RELAY
from tests.bench.compare.systems.icelane import MAX_CHECKED, Icelane
from tests.bench.compare.testbed.system import RunningSystem, System
from tests.bench.compare.testbed.testbed import RELAY_CORES, Testbed
from tests.bench.compare.traffic.affinity import pinned
from tests.bench.compare.traffic.checks import MARK_SIZE, binding_request, prepared, raw_socket
from tests.bench.flood.ends import Conversation, Heard
from tests.bench.flood.frames import Site, make
from tests.bench.flood.sender import Flood
from tests.lab.topology import PUBLIC, RELAY, TRANSCEIVER

SYSTEMS: tuple[System, ...] = (
    Icelane("icelane xdp", "xdp", MAX_CHECKED),
    Icelane("icelane userspace", "userspace", MAX_CHECKED),
    GO_RELAY,
    Coturn(),
)
CALLS = 20
QUIET = "quiet"

_PENDING = 8  # clients whose checks are not answered
_MARGIN = 0.3  # seconds of the flood before and after the calls, besides draining


@dataclass(frozen=True, slots=True)
class Load:
    """What is measured.

    Attributes:
        kinds: The floods, each by itself.
        seconds: How long calls talk in each.
        rate: Packets a second of a flood; None: as many as one core can send.
        begin_every: Seconds from one new call to the next.
    """

    kinds: Sequence[str]
    seconds: float
    rate: float | None = None
    begin_every: float = 0.1


@dataclass(frozen=True, slots=True)
class Row:
    """What became of calls in one flood.

    Attributes:
        system: What they went through.
        flood: The kind of flood; or that there was none.
        per_second: Packets of strangers a second.
        link_lost: How many of those never came to the relay's interface, in percent.
        media: Media packets of calls, both ways.
        lost: Those of them that were lost.
        begun: Calls that were to begin; 0 where the system opens none by checks.
        failed: Those of them that did not.
        p50_ms: Until their first answer.
        p99_ms: Likewise.
        cpu_percent: Of a core, of the system's processes; the kernel's part is the sender's core's.
        megabytes: What these have of memory, afterwards.
        pending: Pending flows afterwards, where the system tells.
        limited: What was dropped beyond rates, by reason.
    """

    system: str
    flood: str
    per_second: float
    link_lost: float
    media: int
    lost: int
    begun: int
    failed: int
    p50_ms: float | None
    p99_ms: float | None
    cpu_percent: float
    megabytes: float
    pending: int | None
    limited: dict[str, int]

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure(system: System, load: Load, tell: Callable[[str], None]) -> Iterator[Row]:
    """Measure a system: quiet first, then in each flood.

    Args:
        system: It.
        load: What comes.
        tell: Takes what is done, in words.

    Raises:
        LabError: It does not start, or an end of the traffic fails.
    """
    with Testbed() as testbed, system.running(testbed, CALLS) as running:
        if running.new_ufrag is not None:
            _leave_pending(testbed, running.new_ufrag)
        stage = _Stage(testbed, system.name, running, load)
        with pinned((os.getpid(),), RELAY_CORES[1][0]):
            for number, kind in enumerate((QUIET, *load.kinds)):
                tell(f"{system.name}: {kind}")
                yield stage.measure(number, kind)


class _Stage:
    """A system that runs, and what is done to it."""

    def __init__(self, testbed: Testbed, name: str, running: RunningSystem, load: Load) -> None:
        self._testbed = testbed
        self._name = name
        self._running = running
        self._load = load
        self._each = round(load.seconds / load.begin_every) + 1  # calls that begin in a flood
        self._random = Random(1)

    def measure(self, number: int, kind: str) -> Row:
        """What becomes of calls in a flood of this kind."""
        testbed, load = self._testbed, self._load
        clients = [testbed.client(CALLS + number * self._each + i) for i in range(self._each)]
        begin = self._running.new_ufrag
        ufrags = [begin() for _ in clients] if begin is not None else []
        requests = Requests.make(testbed.vip, clients[: len(ufrags)], ufrags)
        before, limited = self._used(), self._limited()
        came, started = self._received(), time.monotonic()
        with raw_socket(testbed) as raw, _transceiver(testbed) as transceiver:
            conversation = Conversation(raw, transceiver, self._running.flows, requests)
            if kind == QUIET:
                heard = conversation.run(load.seconds, load.begin_every)
                rate, sent, came = 0.0, 0, 0
            else:
                heard, rate, sent = self._flooded(conversation, kind)
                came = self._received() - came
        seconds = time.monotonic() - started
        waits = [1000 * each for each in sorted(heard.waits)]
        return Row(
            system=self._name,
            flood=kind,
            per_second=rate,
            link_lost=max(0.0, 100 * (1 - came / sent)) if sent else 0.0,
            media=heard.sent,
            lost=heard.lost,
            begun=heard.begun,
            failed=heard.failed,
            p50_ms=median(waits) if waits else None,
            p99_ms=quantiles(waits, n=100, method="inclusive")[-1] if len(waits) > 1 else None,
            cpu_percent=100 * (self._used() - before) / seconds,
            megabytes=sum(map(process_bytes, self._running.pids)) / 1e6,
            pending=self._pending(),
            limited={
                name: more
                for name, count in self._limited().items()
                if (more := count - limited.get(name, 0))
            },
        )

    def _flooded(self, conversation: Conversation, kind: str) -> tuple[Heard, float, int]:
        load, testbed = self._load, self._testbed
        pending = [testbed.client(each) for each in _pending_numbers()]
        site = Site(testbed.vip, self._running.new_ufrag or _no_ufrag, pending)
        seconds = load.seconds + 2 * _MARGIN
        with Flood(testbed, make(kind, site, self._random), load.rate, seconds) as flood:
            time.sleep(_MARGIN)
            heard = conversation.run(load.seconds, load.begin_every)
            rate = flood.finish()
            return heard, rate, flood.sent

    def _used(self) -> float:
        return sum(map(cpu_seconds, self._running.pids))

    def _received(self) -> int:
        """Packets that came to the relay's public interface."""
        with self._testbed.hosts[RELAY].netlink() as netlink:
            (link,) = netlink.get_links(ifname=PUBLIC)
        return int(link.get_attr("IFLA_STATS64")["rx_packets"])

    def _status(self) -> dict[str, Any]:
        path = self._testbed.directory / "admin.sock"
        return ask(path, "status", timeout=10.0) if path.exists() else {}

    def _limited(self) -> dict[str, int]:
        status = self._status()
        counters = status.get("counters", {}) | status.get("dataplane_counters", {})
        return {name: count for name, count in counters.items() if name.endswith("_limited")}

    def _pending(self) -> int | None:
        status = self._status()
        return int(status["used"]["pending"]) if status else None


def _pending_numbers() -> range:
    """Clients behind those that call."""
    return range(40_000, 40_000 + _PENDING)


def _leave_pending(testbed: Testbed, new_ufrag: Callable[[], str]) -> None:
    """Let checks come that nobody answers."""
    mark = secrets.token_bytes(MARK_SIZE)
    with raw_socket(testbed) as raw:
        for number in _pending_numbers():
            packet = binding_request(testbed.client(number), testbed.vip, new_ufrag(), mark, number)
            raw.sendto(packet, (testbed.vip.host, 0))


def _no_ufrag() -> str:
    return secrets.token_hex(14)


@contextmanager
def _transceiver(testbed: Testbed) -> Iterator[socket.socket]:
    with testbed.hosts[TRANSCEIVER].inside():
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with udp:
        udp.bind(testbed.transceiver)
        yield prepared(udp)
