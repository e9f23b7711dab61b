"""How busy processors are, by cycle soaking: programs that run only when nobody else wants to.

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
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from statistics import quantiles

from tests.bench.compare.traffic import soaker
from tests.bench.resource import Resource
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


class Soak(Resource):
    """Programs that watch some processors, from entering to leaving.

    Args:
        cores: The processors.
    """

    def __init__(self, cores: Sequence[int]) -> None:
        self._cores = cores
        self._processes: list[subprocess.Popen[bytes]] = []

    def _open(self, stack: ExitStack) -> None:
        """Start them, and wait until they have seen something.

        Raises:
            LabError: One of them does not.
        """
        descriptor = os.memfd_create("icelane-soak")
        with os.fdopen(descriptor):
            os.ftruncate(descriptor, mmap.PAGESIZE)
            self._shared = soaker.Shared.from_buffer(mmap.mmap(descriptor, mmap.PAGESIZE))
            for core in self._cores:
                process = stack.enter_context(self._start(descriptor, core))
                stack.callback(process.kill)
                self._processes.append(process)
            self._wait()

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
