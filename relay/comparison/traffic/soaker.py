"""A process that takes the time that a processor has left, and counts.

Its arguments are the descriptor of shared memory and the number of a processor, on which it runs
whenever nobody else wants to. It writes its count where the memory has the processor's number.
"""

import ctypes
import mmap
import os
import signal
import sys
import threading

ROUND = 500  # passes of the loop between two counts: 5 to 10 us


class Counts(ctypes.Structure):
    """The shared memory: how many rounds each processor has had time for."""

    _fields_ = (("by_core", ctypes.c_uint64 * (mmap.PAGESIZE // 8)),)


def main() -> None:
    """Count until the process that asked for it has gone."""
    descriptor, core = map(int, sys.argv[1:])
    counts = Counts.from_buffer(mmap.mmap(descriptor, ctypes.sizeof(Counts)))
    os.sched_setaffinity(0, {core})
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    rounds = range(ROUND)
    while True:
        for _ in rounds:
            pass
        counts.by_core[core] += 1


def _end_with_standard_input() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
