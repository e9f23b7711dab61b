"""How busy processors are, by what they have left: programs that run only when nobody else wants.

The kernel's own figures count ticks of 4 ms, and what interrupts do is counted as the work of
whomever they interrupt. What is left is measured exactly, and by the clock, so that it does not
matter how fast the processor is at the moment. The programs also keep processors from going to
sleep, which on a virtual machine costs more than most packets.
"""

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import quantiles
from types import TracebackType
from typing import Self

from tests.bench.compare.traffic import soaker
from tests.lab.errors import LabError

WINDOW_SECONDS = 0.04  # between two readings

_START_SECONDS = 10.0
_LOOK_EVERY = 0.01


@dataclass(frozen=True, slots=True)
class Reading:
    """What was seen of a processor until a moment.

    Attributes:
        until: The moment, in ns of the monotonic clock.
        taken: For how long it was busy until then, in ns.
    """

    until: int
    taken: int


Readings = Mapping[int, Reading]  # by processor


def busy_share(series: Iterable[Sequence[Readings]]) -> float:
    """How many processors were busy, in the lower quartile of windows between readings. Pure.

    What else the machine does now and then is in some of the windows, where it can only add.

    Args:
        series: Readings, at short intervals, at times when the same was done; three at least.
    """
    shares = [
        sum(_share(start[core], end[core]) for core in start)
        for readings in series
        for start, end in pairwise(readings)
    ]
    return quantiles(shares, n=4, method="inclusive")[0]


def _share(start: Reading, end: Reading) -> float:
    """How much of the time between two readings a processor was busy; all of it if none is seen."""
    seconds = end.until - start.until
    return (end.taken - start.taken) / seconds if seconds else 1.0


class Soak:
    """Programs that watch some processors, from entering to leaving.

    Args:
        cores: The processors.
    """

    def __init__(self, cores: Sequence[int]) -> None:
        self._cores = cores
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Start them, and wait until they have seen something.

        Raises:
            LabError: One of them does not.
        """
        descriptor = os.memfd_create("icelane-soak")
        try:
            os.ftruncate(descriptor, mmap.PAGESIZE)
            self._shared = soaker.Shared.from_buffer(mmap.mmap(descriptor, mmap.PAGESIZE))
            for core in self._cores:
                self._processes.append(self._start(descriptor, core))
            self._wait()
        except BaseException:
            self._stop()
            raise
        finally:
            os.close(descriptor)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop them."""
        self._stop()

    def read(self) -> Readings:
        """What was seen until now."""
        seen = self._shared.by_core
        return {core: Reading(seen[core].until, seen[core].taken) for core in self._cores}

    def watch(self, seconds: float) -> list[Readings]:
        """Readings at short intervals, for some time from now on."""
        end = time.monotonic() + seconds
        readings = [self.read()]
        while time.monotonic() < end:
            time.sleep(WINDOW_SECONDS)
            readings.append(self.read())
        return readings

    def _start(self, descriptor: int, core: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", soaker.__name__, str(descriptor), str(core)],
            stdin=subprocess.PIPE,
            pass_fds=[descriptor],
            start_new_session=True,
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not all(each.until for each in self.read().values()):
            if time.monotonic() > deadline:
                raise LabError("The programs that watch the processors do not start.")
            time.sleep(_LOOK_EVERY)

    def _stop(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
