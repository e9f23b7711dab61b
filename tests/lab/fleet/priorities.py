"""Who comes first on processors that all machines of a lab share.

A relay's machine that starts takes a second of a processor. Where it is a machine of its own, that
keeps neither a transceiver nor a client waiting; nor is a router as slow as its machine is busy.

Routing alone is in a real-time class, as it needs little. Of what takes as much of such a class as
there is, the kernel lets others have a twentieth: a router was silent for up to 50 ms then, and
lost all neighbours that expect a packet each 5. Nor do ends come far before others: the kernel's
own threads, which have the links' packets in their hands, are among those.
"""

import os
from functools import cache

ROUTING = 10  # of SCHED_RR
ENDS, _OTHERS = -5, 0  # nice levels


def prefix(level: int = _OTHERS) -> tuple[str, ...]:
    """What is put before a command, so that it has this priority; nothing where that is denied.

    It is for the thread that makes it, which the command would take after.
    """
    if not _may_be_first():
        return ()
    if level == ROUTING:
        return ("chrt", "--rr", str(ROUTING))
    return ("nice", "-n", str(level - os.getpriority(os.PRIO_PROCESS, 0)))


def come_first() -> None:
    """Let the calling thread, and threads that it starts, come before all but routing."""
    if _may_be_first():
        os.setpriority(os.PRIO_PROCESS, 0, ENDS)


def be_as_others() -> None:
    """End that."""
    if _may_be_first():
        os.setpriority(os.PRIO_PROCESS, 0, _OTHERS)


@cache
def _may_be_first() -> bool:
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(ROUTING))
        os.sched_setscheduler(0, *before)
    except PermissionError:
        return False
    return True
