"""What goes wrong, in which order. Pure: the same seed gives the same plan."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import TypeVar

from relay.dataplane.interface import DataplaneChoice

_Item = TypeVar("_Item")

PAUSES = (0.3, 1.5)  # seconds between two faults, from and to
LENGTHS = (0.2, 2.0)  # seconds of a fault that lasts


class Fault(StrEnum):
    """What goes wrong, or is done on purpose."""

    AGENT_KILLED = "agent killed"
    AGENT_RESTARTED = "agent restarted"
    AGENT_HANGS = "agent hangs"
    WORKER_KILLED = "worker killed"
    WORKER_HANGS = "worker hangs until it is replaced"
    REDIS_KILLED = "Redis killed"
    REDIS_HANGS = "Redis hangs"
    LINK_DOWN = "link down"
    INTERFACE_RENAMED = "interface renamed"
    PROGRAM_REPLACED = "program replaced"
    SWITCHED = "switched to userspace and back"
    UNLOADED = "unloaded and loaded again"
    UNLOADED_BY_FORCE = "unloaded by force and loaded again"
    JUNK = "flood of junk"
    FORGED = "flood of forged checks"
    REPLAYED = "flood of a replayed ufrag"


UNLOADS = frozenset((Fault.UNLOADED, Fault.UNLOADED_BY_FORCE))
_OF_WORKERS = frozenset((Fault.WORKER_KILLED, Fault.WORKER_HANGS))
_OF_THE_PROGRAM = UNLOADS | {Fault.PROGRAM_REPLACED, Fault.SWITCHED}
FAULTS = {
    DataplaneChoice.XDP: tuple(each for each in Fault if each not in _OF_WORKERS),
    DataplaneChoice.USERSPACE: tuple(each for each in Fault if each not in _OF_THE_PROGRAM),
}
# After these a process is a new one, which hides what the one before had lost.
ENDS_PROCESS = frozenset((Fault.AGENT_KILLED, Fault.AGENT_RESTARTED, *_OF_WORKERS))


@dataclass(frozen=True, slots=True)
class Step:
    """One fault.

    Attributes:
        fault: What.
        pause: How long all is well before it, in seconds.
        length: How long it lasts, in seconds, where it does.
        choice: What it happens to, where there are several: a number in [0, 1).
    """

    fault: Fault
    pause: float
    length: float
    choice: float

    def pick(self, items: Sequence[_Item]) -> _Item:
        """The one of these that it happens to."""
        return items[int(self.choice * len(items))]


def steps(rng: Random, faults: Sequence[Fault]) -> Iterator[Step]:
    """Faults without end: each one once in every round, and the order of a round is random."""
    while True:
        for fault in rng.sample(faults, len(faults)):
            yield Step(fault, rng.uniform(*PAUSES), rng.uniform(*LENGTHS), rng.random())
