"""Arrays of BPF, mapped into this process: user space reads and writes what the program does.

A store of an aligned word is one step for everybody who reads it, as an element of a `memoryview`
is stored: CPython copies it with one instruction of the machine. `struct.pack_into` would write it
byte by byte. In what order other processors see two of them is the machine's affair: on x86-64
as they were made; elsewhere only with a barrier between them (`fence`).
"""

import mmap
import os
from threading import Lock

from relay.dataplane.kernel.pinnedmap import PinnedMap

_lock = Lock()
_ORDERED = os.uname().machine == "x86_64"  # as everybody sees stores in their order there


def fence() -> None:
    """Let everybody see the stores before this one before those after it.

    On x86-64 they do anyway. Elsewhere releasing a lock does so for what was stored before, and
    taking it for what comes after; done one after the other they keep the two apart (C11, section
    7.17.3; on arm64 stlr and ldar).
    """
    if not _ORDERED:
        for _ in range(2):
            with _lock:
                pass


class MappedArray:
    """A pinned array map as memory, in views by size of word; all are of the same bytes.

    Args:
        pinned: The map, which it closes: the memory stays.

    Attributes:
        count: How many elements it has.
        stride: Bytes from one element to the next: its size, in whole words of eight bytes.
        spans: Where the fields of an element are, by name.
        octets: Its bytes.
        shorts: Its words of two bytes.
        words: Those of four.
        longs: Those of eight.
    """

    def __init__(self, pinned: PinnedMap) -> None:
        with pinned:
            self.count = pinned.info.max_entries
            self.stride = (pinned.value.size + 7) // 8 * 8
            self.spans = pinned.value.spans
            size = -(-self.count * self.stride // mmap.PAGESIZE) * mmap.PAGESIZE
            self._memory = mmap.mmap(pinned.fileno(), size)
        self.octets = memoryview(self._memory)[: self.count * self.stride]
        self.shorts = self.octets.cast("H")
        self.words = self.octets.cast("I")
        self.longs = self.octets.cast("Q")

    def element(self, index: int) -> memoryview:
        """The bytes of an element."""
        return self.octets[index * self.stride : (index + 1) * self.stride]

    def close(self) -> None:
        """Let go of the memory, which goes with the last view of it; the map stays pinned."""
        for view in (self.longs, self.words, self.shorts, self.octets):
            view.release()
        del self._memory
