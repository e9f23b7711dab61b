"""The programs and maps of the comparison's traffic, loaded once in a process."""

import ctypes
import mmap
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from relay.dataplane.kernel import bpfsys
from tests.bench.compare.testbed.bpfbuild import Build, built
from tests.bench.compare.traffic import layout
from tests.lab.errors import LabError

_BUILD = Build(
    directory=str(Path(__file__).resolve().parent),
    sources=("sender.bpf.c", "sink.bpf.c"),
    xdp=("send_frame", "near_end", "far_end"),
    classifiers=("send_burst",),
    maps=("legs", "plans", "progresses", "watches", "tallies", "histograms"),
)
_FIRST = bytes(4)  # the key of the only entry

_Struct = TypeVar("_Struct", bound=ctypes.Structure)


class Programs:
    """Programs and maps by name, as they were built.

    Args:
        fds: Their descriptors, which are its own from then on.

    Attributes:
        fds: The descriptors.
        plan: What to send.
        progress: What was sent.
        watch: What to look for.
        legs: The flows to send on, `layout.LEG_SIZE` bytes each.
    """

    def __init__(self, fds: dict[str, int]) -> None:
        self.fds = fds
        self.plan = self._shared("plans", layout.Plan)
        self.progress = self._shared("progresses", layout.Progress)
        self.watch = self._shared("watches", layout.Watch)
        self.legs = mmap.mmap(fds["legs"], layout.LEG_SIZE * layout.MAX_FLOWS)

    def tally(self) -> layout.Tally:
        """What has arrived, on all processors."""
        parts = self._read("tallies", layout.Tally)
        total = {name: sum(getattr(each, name) for each in parts) for name, _ in _SUMMED}
        return layout.Tally(**total, slowest=max(each.slowest for each in parts))

    def counts(self) -> list[int]:
        """How many packets had which latency, by bucket."""
        parts = self._read("histograms", layout.Counts)
        return [sum(counts) for counts in zip(*(part.count for part in parts), strict=True)]

    def reset(self) -> None:
        """Count from zero on."""
        for name, kind in (("tallies", layout.Tally), ("histograms", layout.Counts)):
            size = ctypes.sizeof(kind) * bpfsys.possible_cpus()
            bpfsys.map_update(self.fds[name], _FIRST, bytes(size))

    def _shared(self, name: str, kind: type[_Struct]) -> _Struct:
        return kind.from_buffer(mmap.mmap(self.fds[name], ctypes.sizeof(kind)))

    def _read(self, name: str, kind: type[_Struct]) -> list[_Struct]:
        size = ctypes.sizeof(kind)
        data = bpfsys.map_lookup(self.fds[name], _FIRST, size * bpfsys.possible_cpus())
        if data is None:
            raise LabError(f"The traffic's map {name} is gone.")
        return [kind.from_buffer_copy(data, start) for start in range(0, len(data), size)]


_SUMMED: tuple[Any, ...] = layout.Tally._fields_[:-1]


@cache
def programs() -> Programs:
    """The programs and maps of this process, built when they are first asked for.

    Raises:
        LabError: They cannot be built; the text says why and what to do.
    """
    return Programs(built(_BUILD))
