"""Memory of a flow: in the contestant's processes, and in the kernel."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.compare.calls.usage import map_bytes, process_bytes, slab_bytes
from tests.bench.compare.model import Contestant, Measurement
from tests.bench.compare.testbed import Arena

_SLABS = Path("/proc/slabinfo")
_SETTLE_SECONDS = 2.0  # at most, until the kernel has freed what ended
_SETTLED_BYTES = 8192  # between two looks
_ENTRIES_OF_A_FLOW = 2  # in a map of Icelane, one for each direction


class Memory:
    """What a contestant takes with many flows beyond what it takes with one.

    Args:
        contestant: Whom to ask.
        flows: How many flows are many.
    """

    name = "memory"

    def __init__(self, contestant: Contestant, *, flows: int = 10_000) -> None:
        self.contestant = contestant.name
        self._asked = contestant
        self._flows = flows

    def missing(self) -> str | None:
        """Why it cannot be asked on this machine."""
        if not os.access(_SLABS, os.R_OK):
            return "it reads /proc/slabinfo: run the command with sudo"
        return self._asked.missing()

    def ask(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: The contestant does not start, or does not open the flows.
        """
        one, many = self._taken(1), self._taken(self._flows)
        more = self._flows - 1
        values = {
            "process_bytes": (many.processes - one.processes) / more,
            "kernel_bytes": (many.slabs - one.slabs) / more + _ENTRIES_OF_A_FLOW * many.map_entry,
            "base_mb": one.processes / 1e6,
        }
        for metric, value in values.items():
            parameters: dict[str, int | str] = {"flows": self._flows}
            yield Measurement(self.name, self.contestant, metric, value, parameters)

    def _taken(self, flows: int) -> "Taken":
        with Arena() as arena:
            before = _settled_slabs()
            with self._asked.running(arena, flows) as running:
                return Taken(
                    processes=sum(map(process_bytes, running.pids)),
                    slabs=_settled_slabs() - before,
                    map_entry=sum(map_bytes(pid, 2 * self._flows) for pid in running.pids),
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
        map_entry: Of an entry in the BPF maps that hold flows.
    """

    processes: int
    slabs: int
    map_entry: int
