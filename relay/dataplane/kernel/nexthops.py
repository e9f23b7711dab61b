"""Next hops that the program remembers: for how long, and when all flows ask the FIB again.

The program (bpf/forward.bpf.c) keeps what the FIB has answered, for the leases given here. Whoever
sees the host's routes or neighbours change raises the generation, and no answer from before is used
from the next packet on. Without anybody who does, the leases bound how long an old one lives, and
a flow's own is short then.
"""

import mmap
import threading
import time
from struct import Struct
from typing import Self

from relay.dataplane.kernel.pins import Instance
from relay.dataplane.kernel.ticks import COARSE, tick_seconds

# How long an answer is used without asking again: an answer that any flow got, by all flows that
# share its next hop; and that a flow got, by itself, while somebody watches the network.
HOP_LEASE, FLOW_LEASE = 0.040, 1.0  # seconds
# The most that one unit of time in a binding lasts, of which there are 1,024. It is the lease of a
# flow while nobody watches.
UNIT = 0.032  # seconds
# Whoever watches says so much more often than this; then a busy moment is not taken for his end.
WATCH_LEASE = 0.5  # seconds
_HALF_FULL = 1024  # records in a half of 2,048; the program looks at 4 places for a free one
_CLAIM = Struct("=Q")
_NUMBER, _HALF = Struct("=Q"), Struct("=I")


def lease_fields(tick: float) -> dict[str, int]:
    """The leases as the program counts them.

    Args:
        tick: Seconds between two ticks of the kernel's scheduler.
    """
    shift = 0
    while tick * 2 ** (shift + 1) <= UNIT:
        shift += 1
    unit = tick * 2**shift
    return {
        "hop": max(1, int(HOP_LEASE / tick)),
        "flow": max(1, round(FLOW_LEASE / unit)),
        "tick_shift": shift,
        "watch_ns": int(WATCH_LEASE * 1e9),
    }


def write_leases(pins: Instance) -> None:
    """Set the leases, and let all flows ask the FIB again."""
    wanted = lease_fields(tick_seconds())
    with pins.opened("leases") as table:
        key = table.key.number(0)
        found = table.lookup(key) or bytes(table.value.size)
        packed, changed = table.value.pack(wanted), bytearray(found)
        for name in wanted:
            changed[table.value.spans[name]] = packed[table.value.spans[name]]
        # The program and an agent count in there, and what they counted at this moment would be
        # undone. So it is written once only, when nothing runs yet or a new version has new leases.
        if changed != found:
            table.update(key, bytes(changed))
    with NextHops(pins) as hops:
        hops.renew()


class NextHops:
    """The program's next hops, as memory.

    Args:
        pins: The instance.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """

    def __init__(self, pins: Instance) -> None:
        with pins.opened("leases") as leases, pins.opened("hops") as hops:
            spans = leases.value.spans
            self._raised, self._told = spans["raised"].start, spans["told"].start
            self._watched, self._half = spans["watched_ns"].start, spans["half"].start
            self._size, self._count = hops.value.size, hops.info.max_entries
        self._leases = _mapped(pins, "leases", mmap.PAGESIZE)
        self._hops = _mapped(pins, "hops", self._size * self._count)
        self._turned_at: int | None = None
        self._telling = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the memory."""
        self._leases.close()
        self._hops.close()

    @property
    def generation(self) -> int:
        """How often all flows had to ask the FIB again."""
        return self._number(self._raised) + self._number(self._told)

    def renew(self) -> None:
        """Let all flows ask the FIB again, from the next packet on; any thread may."""
        with self._telling:
            self._store(self._told, self._number(self._told) + 1)

    def watched(self) -> None:
        """Say that somebody is there who calls `renew` when the FIB may have changed.

        Flows rely on that for `WATCH_LEASE`, so it is to be said several times as often.
        """
        self._store(self._watched, time.clock_gettime_ns(COARSE))

    def unwatched(self) -> None:
        """Say that nobody is there any more."""
        self._store(self._watched, 0)

    def used(self) -> int:
        """How many records the half in use has."""
        (half,) = _HALF.unpack_from(self._leases, self._half)
        start = half * self._count // 2
        return sum(
            1
            for index in range(start, start + self._count // 2)
            if _CLAIM.unpack_from(self._hops, index * self._size)[0]
        )

    def tidy(self) -> bool:
        """Turn to the other half of the table when this one fills; says whether it did.

        Called every few seconds. The half that was left is cleared at a later call: no flow is
        bound to it then, and no program that was at work meanwhile is so still.
        """
        (half,) = _HALF.unpack_from(self._leases, self._half)
        if self._turned_at is not None:
            start = (1 - half) * self._count // 2 * self._size
            self._hops[start : start + self._count // 2 * self._size] = bytes(
                self._count // 2 * self._size
            )
            self._turned_at = None
            return False
        if self.used() < _HALF_FULL:
            return False
        memoryview(self._leases)[self._half : self._half + 4].cast("I")[0] = 1 - half
        self.renew()
        self._turned_at = half
        return True

    def _number(self, at: int) -> int:
        (value,) = _NUMBER.unpack_from(self._leases, at)
        return int(value)

    def _store(self, at: int, value: int) -> None:
        # One aligned store of eight bytes: `Struct` would write them one by one.
        with memoryview(self._leases) as leases, leases[at : at + 8] as part, part.cast("Q") as it:
            it[0] = value


def _mapped(pins: Instance, name: str, size: int) -> mmap.mmap:
    with pins.opened(name) as table:
        return mmap.mmap(table.fileno(), max(size, mmap.PAGESIZE))
