"""Icelane beside constant NAT on live packets: what passes without loss, and processor time.

Both run at the same time, each between a client's and a transceiver's host of its own, and have
packets in turn: what else the machine does meets both.

Rates are compared round by round. Processor time is all that the machine's processors do, also for
others: of the rounds with a system and of those of the same traffic without any, the least count.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from tests.bench.compare.benchmarks.cpu import Cpu
from tests.bench.compare.benchmarks.forwarding import Probe
from tests.bench.compare.benchmarks.rate import Rate
from tests.bench.compare.systems.constants import ConstantNat
from tests.bench.compare.systems.icelane import Icelane
from tests.bench.compare.testbed.system import RunningSystem, System
from tests.bench.compare.testbed.testbed import MOST_FLOWS, Testbed

KPPS, NANOSECONDS = "kpps", "ns_per_packet"  # as the comparison calls them

_Running = tuple[Testbed, RunningSystem]

_CPU_FLOWS = 100  # with which processor time is measured


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        flows: With which numbers of flows.
        rounds: How often, in turn; processor time twice as often.
        rate_seconds: For how long each rate is tried.
        cpu_seconds: For how long processor time is measured; 0 for not at all: it takes seconds
            for what a packet costs to be seen among all else.
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
        min: The least ratio of both in a round; of times, that of the least ones.
        median: The ratios' median; of times, the ratio of the medians.
        max: The highest ratio; of times, that of Icelane's most to the other's least.
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
    rounds = []
    for _ in range(effort.rounds):
        probe = Rate((flows,), seconds=effort.rate_seconds)
        rounds.append([_measured(probe, each)[KPPS] for each in running])
    icelane, limit = zip(*rounds, strict=True)
    ratios = [one / other for one, other in rounds]
    spread = min(ratios), median(ratios), max(ratios)
    return Live(flows, KPPS, median(icelane), median(limit), *spread)


def _times(running: Sequence[_Running], effort: Effort, flows: int) -> Live:
    probe = Cpu((flows,), seconds=effort.cpu_seconds)
    times: list[list[float]] = [[] for _ in running]
    without: list[float] = []
    for _ in range(2 * effort.rounds):
        for each, taken in zip(running, times, strict=True):
            found = _measured(probe, each)
            without.append(found["ns_without_relay"])
            taken.append(found[NANOSECONDS] + without[-1])
    icelane, limit = ([time - min(without) for time in taken] for taken in times)
    least = min(limit)
    spread = min(icelane) / least, median(icelane) / median(limit), max(icelane) / least
    return Live(flows, NANOSECONDS, min(icelane), least, *spread)


def _measured(probe: Probe, running: _Running) -> dict[str, float]:
    return {each.metric: each.value for each in probe.measure(*running)}
