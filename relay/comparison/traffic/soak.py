"""How busy processors are, by what they have left: programs that run only when nobody else wants.

The kernel's own figures count ticks of 4 ms, and what interrupts do is counted as the work of
whomever they interrupt. A count of what was left is exact, and keeps processors from going to
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
from statistics import median
from types import TracebackType
from typing import Self

from relay.comparison.traffic import soaker
from relay.lab.errors import LabError

WINDOW_SECONDS = 0.04  # between two readings

_START_SECONDS = 10.0
_LOOK_EVERY = 0.01


@dataclass(frozen=True, slots=True)
class Reading:
    """What each processor had left until a moment.

    Attributes:
        at: The moment, in seconds of the monotonic clock.
        counts: Rounds by processor.
    """

    at: float
    counts: Mapping[int, int]

    def rates(self, since: "Reading") -> dict[int, float]:
        """Rounds a second by processor, since an earlier reading."""
        seconds = self.at - since.at
        return {core: (self.counts[core] - since.counts[core]) / seconds for core in self.counts}


def idle_rates(series: Iterable[Sequence[Reading]]) -> dict[int, float]:
    """Rounds a second by processor in the middle of all windows between two readings. Pure."""
    rates = [end.rates(start) for readings in series for start, end in pairwise(readings)]
    return {core: median(rate[core] for rate in rates) for core in rates[0]}


def busy_share(series: Iterable[Sequence[Reading]], idle: Mapping[int, float]) -> float:
    """How many processors were busy, in the middle of all windows between two readings. Pure.

    The middle, because what else the machine does now and then is in some of the windows.

    Args:
        series: Readings, at short intervals, at times when the same was done.
        idle: Rounds a second of each processor when nothing is done.
    """
    return median(
        sum(1 - rate / idle[core] for core, rate in end.rates(start).items())
        for readings in series
        for start, end in pairwise(readings)
    )


class Soak:
    """Programs that count what some processors have left, from entering to leaving.

    Args:
        cores: The processors.
    """

    def __init__(self, cores: Sequence[int]) -> None:
        self._cores = cores
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Start them, and wait until they count.

        Raises:
            LabError: One of them does not.
        """
        descriptor = os.memfd_create("icelane-soak")
        try:
            os.ftruncate(descriptor, mmap.PAGESIZE)
            self._counts = soaker.Counts.from_buffer(mmap.mmap(descriptor, mmap.PAGESIZE))
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

    def read(self) -> Reading:
        """What was left until now."""
        counts = {core: int(self._counts.by_core[core]) for core in self._cores}
        return Reading(time.monotonic(), counts)

    def watch(self, seconds: float) -> list[Reading]:
        """Readings at short intervals, for some time from now on."""
        readings = [self.read()]
        end = readings[0].at + seconds
        while readings[-1].at < end:
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
        while not all(self._counts.by_core[core] for core in self._cores):
            if time.monotonic() > deadline:
                raise LabError("The programs that count idle time do not start.")
            time.sleep(_LOOK_EVERY)

    def _stop(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
