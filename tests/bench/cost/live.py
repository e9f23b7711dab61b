"""Icelane beside constant NAT on live packets: what passes without loss, and processor time.

Both run at the same time, each between a client's and a transceiver's host of its own, and have
packets in turn: what else the machine does meets both.
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

_CPU_FLOWS = 100  # with which processor time is measured


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        flows: With which numbers of flows.
        rounds: How often, in turn.
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
        icelane: Icelane's figure, the median over the rounds.
        constant_nat: That of constant NAT.
        min: The least ratio of both in a round.
        median: The ratios' median.
        max: The highest.
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
        yield _both(running, effort, KPPS, flows)
        if flows == _CPU_FLOWS and effort.cpu_seconds:
            yield _both(running, effort, NANOSECONDS, flows)


def _both(
    running: Sequence[tuple[Testbed, RunningSystem]], effort: Effort, figure: str, flows: int
) -> Live:
    rounds = [
        [_measured(_probe(effort, figure, flows), *each, figure) for each in running]
        for _ in range(effort.rounds)
    ]
    icelane, limit = zip(*rounds, strict=True)
    ratios = [one / other for one, other in rounds]
    spread = min(ratios), median(ratios), max(ratios)
    return Live(flows, figure, median(icelane), median(limit), *spread)


def _probe(effort: Effort, figure: str, flows: int) -> Probe:
    if figure == KPPS:
        return Rate((flows,), seconds=effort.rate_seconds)
    return Cpu((flows,), seconds=effort.cpu_seconds)


def _measured(probe: Probe, testbed: Testbed, running: RunningSystem, figure: str) -> float:
    return next(each.value for each in probe.measure(testbed, running) if each.metric == figure)
