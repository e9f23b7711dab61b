"""Next hops that the program remembers: for how long, and when all flows ask the FIB again.

The program (bpf/forward.bpf.c) keeps what the FIB has answered, for the leases given here. Whoever
sees the host's routes or neighbours change raises the generation, and no answer from before is used
from the next packet on. Without anybody who does, the leases bound how long an old one lives.
"""

import mmap
import os
from struct import Struct
from typing import Self

from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.pins import PinnedMap, Pins
from relay.dataplane.kernel.ticks import tick_seconds

# How long an answer is used without asking again: an answer that any flow got, by all flows that
# share its next hop; and that a flow got, by itself.
HOP_LEASE, FLOW_LEASE = 0.040, 1.0  # seconds
_UNIT = 0.032  # seconds, about: of the time in a binding, which wraps after 1,024 of them
_HALF_FULL = 1024  # records in a half of 2,048; the program looks at 4 places for a free one
_CLAIM = Struct("=Q")
_GENERATION, _HALF = Struct("=Q"), Struct("=I")


def lease_fields(tick: float) -> dict[str, int]:
    """The leases as the program counts them.

    Args:
        tick: Seconds between two ticks of the kernel's scheduler.
    """
    shift = 0
    while tick * 2 ** (shift + 1) <= _UNIT:
        shift += 1
    unit = tick * 2**shift
    return {
        "hop": max(1, int(HOP_LEASE / tick)),
        "flow": max(1, round(FLOW_LEASE / unit)),
        "tick_shift": shift,
    }


def write_leases(pins: Pins) -> None:
    """Set the leases, and let all flows ask the FIB again."""
    tick = tick_seconds()
    with PinnedMap(pins.map("leases")) as table:
        key = table.key.number(0)
        found = table.lookup(key) or bytes(table.value.size)
        spans = table.value.spans
        fields = {
            name: int.from_bytes(found[spans[name]], "little") for name in ("generation", "half")
        }
        fields["generation"] += 1
        table.update(key, table.value.pack(fields | lease_fields(tick)))


class NextHops:
    """The program's next hops, as memory.

    Args:
        pins: The instance.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """

    def __init__(self, pins: Pins) -> None:
        with PinnedMap(pins.map("leases")) as leases, PinnedMap(pins.map("hops")) as hops:
            spans = leases.value.spans
            self._generation, self._half = spans["generation"].start, spans["half"].start
            self._size, self._count = hops.value.size, hops.info.max_entries
        self._leases = _mapped(pins, "leases", mmap.PAGESIZE)
        self._hops = _mapped(pins, "hops", self._size * self._count)
        self._turned_at: int | None = None

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
        (value,) = _GENERATION.unpack_from(self._leases, self._generation)
        return int(value)

    def renew(self) -> None:
        """Let all flows ask the FIB again, from the next packet on.

        The program may do the same at this moment: then one of the two is lost, which is no harm,
        since any change of the number does.
        """
        word = self.generation + 1
        # One aligned store of eight bytes: `Struct` would write them one by one.
        memoryview(self._leases)[self._generation : self._generation + 8].cast("Q")[0] = word

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


def _mapped(pins: Pins, name: str, size: int) -> mmap.mmap:
    with bpfsys.pinned(pins.map(name)) as fd:
        return mmap.mmap(os.dup(fd), max(size, mmap.PAGESIZE))
