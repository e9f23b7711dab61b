"""What is measured of packets through a running system: one start of it serves several probes."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from tests.bench.compare.benchmarks.benchmark import Measurement
from tests.bench.compare.testbed.system import RunningSystem, System
from tests.bench.compare.testbed.testbed import Testbed

PAYLOAD = 160  # bytes, unless a probe says otherwise: 20 ms of speech


class Probe(Protocol):
    """What is measured of a running system with open flows."""

    @property
    def name(self) -> str:
        """Names it on the command line and in results."""

    @property
    def flows(self) -> Sequence[int]:
        """With which numbers of flows it is measured."""

    def measure(self, testbed: Testbed, running: RunningSystem) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: Nothing passes, or an end of the traffic fails.
        """


class Forwarding:
    """All probes of a system with a number of flows.

    Args:
        system: The system.
        flows: How many flows are open.
        probes: What is measured; those for another number of flows are left out.
    """

    def __init__(self, system: System, flows: int, probes: Sequence[Probe]) -> None:
        self.name = f"{flows:,} flows" if flows > 1 else "1 flow"
        self.system = system
        self._flows = flows
        self._probes = [each for each in probes if flows in each.flows]

    def measure(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: The system does not start, nothing passes, or an end of the traffic fails.
        """
        with Testbed() as testbed, self.system.running(testbed, self._flows) as running:
            for probe in self._probes:
                yield from probe.measure(testbed, running)


def forwarding(systems: Sequence[System], probes: Sequence[Probe]) -> Iterator[Forwarding]:
    """The benchmarks that measure all probes of all systems that can have so many flows."""
    counts = sorted({flows for probe in probes for flows in probe.flows})
    for system in systems:
        for flows in counts:
            if flows <= system.max_flows:
                yield Forwarding(system, flows, probes)
