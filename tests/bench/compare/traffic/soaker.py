"""A process that looks at the clock whenever nobody else wants a processor.

Where it could not look for a while, the processor was somebody else's. Its arguments are the
descriptor of shared memory and the number of a processor. It writes what it has seen where the
memory has the processor's number.
"""

import ctypes
import mmap
import os
import signal
import sys
import threading
import time

# A look takes a tenth of it, an interrupt or another program several times as much.
GAP_NS = 1000
LOOKS = 200  # between two times that what was seen is written: 20 us
MOST_CORES = mmap.PAGESIZE // 16


class Seen(ctypes.Structure):
    """What was seen of a processor: until when, and how much was others' by then, in ns."""

    _fields_ = (("until", ctypes.c_uint64), ("taken", ctypes.c_uint64))


class Shared(ctypes.Structure):
    """The shared memory."""

    _fields_ = (("by_core", Seen * MOST_CORES),)


def main() -> None:
    """Look until the parent process has gone."""
    descriptor, core = map(int, sys.argv[1:])
    shared = Shared.from_buffer(mmap.mmap(descriptor, ctypes.sizeof(Shared)))
    os.sched_setaffinity(0, {core})
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    _look(shared.by_core[core])


def _look(seen: Seen) -> None:
    clock, looks = time.monotonic_ns, range(LOOKS)
    taken = 0
    before = clock()
    while True:
        for _ in looks:
            now = clock()
            if now - before > GAP_NS:
                taken += now - before
            before = now
        seen.taken = taken
        seen.until = before


def _end_with_standard_input() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
