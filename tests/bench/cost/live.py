"""Icelane beside constant NAT on live packets: what passes without loss, and processor time.

Both run at the same time, each between a client's and a transceiver's host of its own, and have
packets in turn: what else the machine does meets both.

Rates are compared round by round. Processor time is that of the process that sends, and of the
kernel's own thread beside it, so that others do not count: in their time the kernel receives what
was sent, and runs the programs. The least of the same over a cable without a relay is subtracted.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

from tests.bench.compare.benchmarks.cpu import RATE
from tests.bench.compare.benchmarks.forwarding import PAYLOAD
from tests.bench.compare.benchmarks.rate import Rate, warm_up
from tests.bench.compare.systems.constants import ConstantNat
from tests.bench.compare.systems.icelane import Icelane
from tests.bench.compare.testbed.system import Direction, RunningSystem, System
from tests.bench.compare.testbed.testbed import MOST_FLOWS, SENDER_CORE, Testbed
from tests.bench.compare.traffic.stream import Traffic
from tests.lab.errors import LabError

KPPS, NANOSECONDS = "kpps", "ns_per_packet"

_Running = tuple[Testbed, RunningSystem]

_CPU_FLOWS = 100  # with which processor time is measured
_CPU_TURNS = 4  # in each round


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        flows: With which numbers of flows.
        rounds: How often, in turn.
        rate_seconds: For how long each rate is tried.
        cpu_seconds: For how long processor time is measured, several times in a round; 0 for not
            at all.
    """

    flows: Sequence[int]
    rounds: int
    rate_seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Live:
    """A figure of both, and its ratio.

    Attributes:
        flows: How many there were, which all have packets.
        figure: What was measured.
        icelane: Icelane's figure: of rates the median over the rounds, of times the least.
        constant_nat: That of constant NAT.
        min: The least ratio of both in a round.
        median: The ratios' median.
        max: The highest ratio.
    """

    flows: int
    figure: str
    icelane: float
    constant_nat: float
    min: float
    median: float
    max: float


def measure(effort: Effort, flows: int) -> Iterator[Live]:
    """Measure both with a number of flows.

    Raises:
        LabError: A system does not start, or nothing passes.
    """
    systems: tuple[System, ...] = (Icelane("icelane xdp", "xdp", MOST_FLOWS), ConstantNat())
    with ExitStack() as stack:
        running = []
        for number, system in enumerate(systems):
            testbed = stack.enter_context(Testbed(f"live-{os.getpid()}-{number}"))
            running.append((testbed, stack.enter_context(system.running(testbed, flows))))
        yield _rates(running, effort, flows)
        if flows == _CPU_FLOWS and effort.cpu_seconds:
            yield _times(running, effort, flows)


def _rates(running: Sequence[_Running], effort: Effort, flows: int) -> Live:
    rounds = [[_rate(each, effort, flows) for each in running] for _ in range(effort.rounds)]
    icelane, limit = zip(*rounds, strict=True)
    return Live(flows, KPPS, median(icelane), median(limit), *_spread(icelane, limit))


def _times(running: Sequence[_Running], effort: Effort, flows: int) -> Live:
    times: list[list[float]] = [[] for _ in running]
    without: list[float] = []
    for _ in range(effort.rounds * _CPU_TURNS):
        for each, taken in zip(running, times, strict=True):
            without.append(_time(each, effort.cpu_seconds, direct=True))
            taken.append(_time(each, effort.cpu_seconds, direct=False))
    icelane, limit = ([time - min(without) for time in taken] for taken in times)
    return Live(flows, NANOSECONDS, min(icelane), min(limit), *_spread(icelane, limit))


def _spread(icelane: Sequence[float], limit: Sequence[float]) -> tuple[float, float, float]:
    """The least, the median and the highest ratio of a round."""
    ratios = [one / other for one, other in zip(icelane, limit, strict=True)]
    return min(ratios), median(ratios), max(ratios)


def _time(running: _Running, seconds: float, *, direct: bool) -> float:
    """Nanoseconds of processor time for a packet."""
    testbed, system = running
    path = testbed, system.flows, Direction.TO_TRANSCEIVER, PAYLOAD
    with Traffic(*path, direct=direct) as traffic:
        warm_up(traffic)
        threads = traffic.sender_pid, _kernel_thread(SENDER_CORE)
        before = sum(map(_run_ns, threads))
        traffic.begin_bursts(RATE, seconds)
        passed = traffic.finish_bursts()
        return (sum(map(_run_ns, threads)) - before) / passed.arrived


def _run_ns(pid: int) -> int:
    """The processor time of a process of one thread, in nanoseconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0])


@cache
def _kernel_thread(core: int) -> int:
    """The thread that receives packets on a processor when there are too many at once."""
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            if comm.read_text("utf-8", errors="replace") == f"ksoftirqd/{core}\n":
                return int(comm.parent.name)
    raise LabError(f"Processor {core} has no ksoftirqd: is /proc that of another PID namespace?")


def _rate(running: _Running, effort: Effort, flows: int) -> float:
    """The rate without loss, in thousands of packets a second."""
    return Rate((flows,), seconds=effort.rate_seconds).find(*running).rate / 1000
