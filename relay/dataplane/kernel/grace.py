"""What was taken out of a map, and a program may still read: waiting until none does."""

import os
import sys
from itertools import takewhile
from typing import Self

from relay.dataplane.kernel import bpfload, bpfsys

_FOUR = 4  # bytes of key and value


class GracePeriod:
    """Waits for the programs that run at a moment.

    Whoever exchanges a map inside a map is told by the kernel when all programs are done with the
    one before (`maybe_wait_bpf_programs` of kernel/bpf/syscall.c). So this exchanges one that
    nobody uses. (membarrier(2) waits for the same, but not on machines with full dynamic ticks.)

    Args:
        inner: An array of one element of four bytes; this closes it.
        outer: An array of one such map; likewise.
    """

    def __init__(self, inner: int, outer: int) -> None:
        self._inner, self._outer = inner, outer

    @classmethod
    def make(cls) -> Self:
        """One with maps of its own.

        Raises:
            OSError: The kernel refuses: that needs root, or CAP_BPF.
        """
        inner = bpfload.map_create(bpfsys.MapType.ARRAY, _FOUR, _FOUR, 1, 0, "grace")
        try:
            outer = bpfload.map_create(
                bpfsys.MapType.ARRAY_OF_MAPS, _FOUR, _FOUR, 1, 0, "grace", inner=inner
            )
        except OSError:
            os.close(inner)
            raise
        return cls(inner, outer)

    def filenos(self) -> list[int]:
        """The descriptors of its maps, as the constructor takes them."""
        return [self._inner, self._outer]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self) -> None:
        """Return when all programs that ran when this was called have ended: some milliseconds."""
        bpfsys.map_update(self._outer, bytes(_FOUR), self._inner.to_bytes(4, sys.byteorder))

    def close(self) -> None:
        """Let go of the maps."""
        os.close(self._outer)
        os.close(self._inner)


class Resting:
    """Numbers that are out of use, but not free yet.

    Whoever waits takes the mark before, and frees by it afterwards what had been added until then;
    in the meantime others may come, and the same again.
    """

    def __init__(self) -> None:
        self.mark = 0
        self._added: dict[int, int] = {}  # number -> the mark with which it came

    def __contains__(self, number: int) -> bool:
        return number in self._added

    def __bool__(self) -> bool:
        return bool(self._added)

    def add(self, number: int) -> None:
        """Let a number rest from now on."""
        self.mark += 1
        self._added.pop(number, None)  # so that the latest are last
        self._added[number] = self.mark

    def discard(self, number: int) -> None:
        """A number is in use again."""
        self._added.pop(number, None)

    def free(self, mark: int) -> list[int]:
        """The numbers that came up to a mark, which rest no longer."""
        freed = list(takewhile(lambda number: self._added[number] <= mark, self._added))
        for number in freed:
            del self._added[number]
        return freed
