"""Who comes first on processors that all machines of a lab share.

A relay's machine that starts takes a second of a processor. Where it is a machine of its own, that
keeps neither a transceiver nor a client waiting; nor is a router as slow as its machine is busy.
"""

import os
from functools import cache

ROUTING, ENDS = 10, 5  # of SCHED_RR
_OTHERS = 0


def prefix(level: int = _OTHERS) -> tuple[str, ...]:
    """What is put before a command, so that it has this priority; nothing where that is denied."""
    if not _may_be_first():
        return ()
    return ("chrt", "--rr", str(level)) if level else ("chrt", "--other", "0")


def come_first() -> None:
    """Let the calling thread, and threads that it starts, come before all but routing."""
    if _may_be_first():
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(ENDS))


def be_as_others() -> None:
    """End that."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@cache
def _may_be_first() -> bool:
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(ENDS))
        os.sched_setscheduler(0, *before)
    except PermissionError:
        return False
    return True
