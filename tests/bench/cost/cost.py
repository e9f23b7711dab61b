"""What the programs cost for one packet.

A packet's time is that of the driver with the measured program, less that of the driver with one
that does nothing. Both are measured several times in turn, and the least time that nothing took is
subtracted from the least, the median and the most that the program took: what else the machine does
can only make both slower, so a difference of neighbours would show that, too.

"Warm" is a packet among many, one after the other, as under load: every flow has had a packet just
before, so that its next hop is known, and then has one when all others have had one, in no order.
The kernel sleeps for a moment before each run, so that the first packets are slower; there are
enough of them for that not to be seen. "Cold" is a packet of a burst of 16 after the processor has
slept for 10 ms, or has done something else.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from statistics import median

from relay.dataplane.kernel.nexthops import WATCH_LEASE, NextHops
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.xdp import XdpDataplane
from relay.errors import DataplaneError
from tests.bench.cost.driver import Driver
from tests.bench.cost.kinds import Kind, kinds
from tests.bench.cost.site import Site

BURST, PAUSE = 16, 0.010  # packets, and seconds before them

_LEAST_TURNS = 1_000  # before measuring
_COUNTED = 0.98  # the share of packets that must be counted: some counters are samples


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        packets: How many are run together, warm.
        bursts: How many bursts, of which the median counts, cold.
        repeats: How often all of that is done.
    """

    packets: int
    bursts: int
    repeats: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Nanoseconds for a packet, above a program that does nothing.

    Attributes:
        flows: How many there were.
        packet: The kind of packet.
        way: Which way it went.
        min: The least of all repeats.
        median: Their median.
        max: The most.
        cold_min: The same in cold bursts.
        cold_median: Their median.
        cold_max: The most.
    """

    flows: int
    packet: str
    way: str
    min: float
    median: float
    max: float
    cold_min: float
    cold_median: float
    cold_max: float


def measure(sites: Sequence[Site], driver: Driver, flows: int, effort: Effort) -> list[Cost]:
    """The costs of all kinds of packet.

    Args:
        sites: Where.
        driver: What runs them.
        flows: How many flows each has, which all have packets.
        effort: How much is measured.

    Raises:
        DataplaneError: A program did something else with a packet.
        LabError: A program to compare with cannot be built.
    """
    with ExitStack() as stack:
        runs: list[_Runs] = []
        for site in sites:
            stack.enter_context(_watched(Pins(site.instance)))
            dataplane = stack.enter_context(closing(XdpDataplane(site.instance)))
            runs += [
                _Runs(site, kind, driver, dataplane, flows=flows, effort=effort)
                for kind in stack.enter_context(kinds(site, flows))
            ]
        stack.enter_context(_on_one_processor())
        for _ in range(effort.repeats):  # all kinds in turn: what else happens meets each of them
            for each in runs:
                each.repeat()
        return [each.cost() for each in runs]


class _Runs:
    """The runs of a kind of packet."""

    def __init__(
        self,
        site: Site,
        kind: Kind,
        driver: Driver,
        dataplane: XdpDataplane,
        *,
        flows: int,
        effort: Effort,
    ) -> None:
        self._site, self._kind, self._driver, self._dataplane = site, kind, driver, dataplane
        self._flows, self._effort = flows, effort
        self._turns = max(flows if kind.is_hit else 0, _LEAST_TURNS)
        self._warm: list[float] = []
        self._cold: list[float] = []
        self._base: list[float] = []
        self._cold_base: list[float] = []

    def repeat(self) -> None:
        """Measure once.

        Raises:
            DataplaneError: The program did something else with a packet.
        """
        kind, effort, nothing = self._kind, self._effort, self._driver.nothing
        with self._site.host.inside():
            self._driver.prepare(kind.packets, self._flows)
            self._base.append(self._driver.run(nothing, effort.packets)[0])
            self._cold_base.append(self._bursts(nothing))
            before = self._counted()
            self._run(self._turns)
            self._warm.append(self._run(effort.packets))
            self._cold.append(self._bursts(kind.program))
        expected = self._turns + effort.packets + effort.bursts * BURST
        if kind.reason and self._counted() - before < _COUNTED * expected:
            raise DataplaneError(
                f"Not every packet was a {kind.name} {kind.way}: {self._counted() - before:,} of "
                f"{expected:,} were counted as {kind.reason}."
            )

    def cost(self) -> Cost:
        """What came out."""
        warm = _above(self._warm, self._base)
        return Cost(
            self._flows,
            self._kind.name,
            self._kind.way,
            *warm,
            *_above(self._cold, self._cold_base),
        )

    def _run(self, count: int) -> float:
        took, verdict = self._driver.run(self._kind.program, count)
        if self._kind.verdict not in {None, verdict}:
            raise DataplaneError(
                f"A packet of the {self._kind.name} {self._kind.way} was not handled as one: "
                f"verdict {verdict}."
            )
        return took

    def _bursts(self, program: int) -> float:
        times = []
        for _ in range(self._effort.bursts):
            time.sleep(PAUSE)
            times.append(self._driver.run(program, BURST)[0])
        return median(times)

    def _counted(self) -> int:
        """Packets of the kind, also those that were too many to pass."""
        if not self._kind.reason:
            return 0
        counters = self._dataplane.counters()
        return counters[self._kind.reason] + counters.get(f"{self._kind.reason}_limited", 0)


def _above(times: Sequence[float], base: Sequence[float]) -> tuple[float, float, float]:
    nothing = min(base)
    return min(times) - nothing, median(times) - nothing, max(times) - nothing


@contextmanager
def _watched(pins: Pins) -> Iterator[None]:
    """Say all the time what an agent says; without one, flows ask the FIB more often."""
    ended = threading.Event()

    def watch() -> None:
        with NextHops(pins) as hops:
            while not ended.wait(WATCH_LEASE / 5):
                hops.watched()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """Stay on a processor, whose caches are the ones that count."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
