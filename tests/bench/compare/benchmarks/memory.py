"""Memory of a flow: in the system's processes, and in the kernel."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.compare.benchmarks.benchmark import Measurement, measurements
from tests.bench.compare.benchmarks.usage import map_bytes, process_bytes, slab_bytes
from tests.bench.compare.testbed.system import System
from tests.bench.compare.testbed.testbed import Testbed

_SLABS = Path("/proc/slabinfo")
_SETTLE_SECONDS = 2.0  # at most, until the kernel has freed what ended
_SETTLED_BYTES = 8192  # between two looks


class Memory:
    """What a system takes with many flows beyond what it takes with one.

    Args:
        system: What is measured.
        flows: How many flows are many.
    """

    name = "memory"

    def __init__(self, system: System, *, flows: int) -> None:
        self.system = system
        self._flows = flows

    def measure(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: The system does not start, or does not open the flows.
            OSError: The kernel has no /proc/slabinfo.
        """
        one, many = self._taken(1), self._taken(self._flows)
        more = self._flows - 1
        values = {
            "process_bytes": (many.processes - one.processes) / more,
            "kernel_bytes": (many.slabs - one.slabs) / more + many.in_maps,
            "map_bytes": many.in_maps,
            "base_mb": one.processes / 1e6,
        }
        yield from measurements(self.name, values, {"flows": self._flows})

    def _taken(self, flows: int) -> "Taken":
        with Testbed() as testbed:
            before = _settled_slabs()
            with self.system.running(testbed, flows) as running:
                return Taken(
                    processes=sum(map(process_bytes, running.pids)),
                    slabs=_settled_slabs() - before,
                    in_maps=sum(map(map_bytes, running.pids)),
                )


def _settled_slabs() -> int:
    """What the kernel's objects take, once it has freed those of what ended before."""
    last = slab_bytes(_SLABS.read_text(encoding="ascii"))
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        time.sleep(_SETTLE_SECONDS / 10)
        now = slab_bytes(_SLABS.read_text(encoding="ascii"))
        if abs(now - last) < _SETTLED_BYTES or time.monotonic() > deadline:
            return now
        last = now


@dataclass(frozen=True, slots=True)
class Taken:
    """Memory in bytes.

    Attributes:
        processes: Of all processes.
        slabs: Of the kernel's objects, beyond what there was before.
        in_maps: Of a flow in BPF maps.
    """

    processes: int
    slabs: int
    in_maps: float
