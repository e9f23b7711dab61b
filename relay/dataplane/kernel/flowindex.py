"""Where the record of a client's tuple is: a hash table of two choices, in memory (bpf/relay.h).

A tuple has two buckets of eight entries. An entry goes into the first that has room; when neither
has, one that is there moves to its other bucket. So the table fills to three quarters and more, and
most tuples are found in their first bucket: one cache line. (Pagh and Rodler, Cuckoo hashing, 2001;
with buckets, Dietzfelbinger and Weidling, 2005.)
"""

from collections.abc import Callable
from struct import Struct

from relay.wire.endpoint import V4_MAPPED

BUCKET_ENTRIES = 8
FILL = 6  # entries that a bucket has, on average, in a table that is full
_FACTOR = 0x9E3779B97F4A7C15
_LOW, _LONG = (1 << 32) - 1, (1 << 64) - 1
_PACKED = Struct("=4IH")  # an endpoint's address in words, and its port, as the program reads them


def hash_word(value: int, word: int) -> int:
    """`hash_word` of bpf/flows.bpf.c."""
    value = (value ^ word) * _FACTOR & _LONG
    return value ^ value >> 32


def hash_tuple(seed: int, client: bytes, vip: bytes) -> int:
    """`hash_tuple` of bpf/flows.bpf.c, of 64 bits.

    Args:
        seed: The table's seed, of 64 bits.
        client: A client's transport address, as `Endpoint.packed`.
        vip: Where it sends to, likewise.
    """
    *source, source_port = _PACKED.unpack(client)
    *target, target_port = _PACKED.unpack(vip)
    value = seed
    if client.startswith(V4_MAPPED):
        value = hash_word(value, source[3] << 32 | target[3])
    else:
        for address in (source, target):
            value = hash_word(value, address[0] << 32 | address[1])
            value = hash_word(value, address[2] << 32 | address[3])
    return hash_word(value, source_port << 16 | target_port)


def tag_of(hashed: int) -> int:
    """The tag of an entry, from the hash of its tuple."""
    return hash_word(hashed, 0) >> 32 | 1


class FlowIndex:
    """The buckets, as memory; all stores are of one entry at a time.

    Args:
        entries: The table's entries, eight of each bucket.
        hash_of: The hash of the tuple whose record is at a position.
    """

    def __init__(self, entries: memoryview, hash_of: Callable[[int], int]) -> None:
        self._entries = entries
        self._buckets = len(entries) // BUCKET_ENTRIES
        self._hash_of = hash_of

    def find(self, hashed: int) -> int | None:
        """Where the entry of a tuple is, as `position` and `point` take it; None: it has none.

        Two tuples may share buckets and tag, so the caller looks at the record.
        """
        tag = tag_of(hashed)
        for start in self._starts(hashed):
            entries = self._entries[start : start + BUCKET_ENTRIES].tolist()
            for offset, entry in enumerate(entries):
                if entry >> 32 == tag:
                    return start + offset
        return None

    def position(self, place: int) -> int | None:
        """The record that an entry points to; None when the place is free."""
        entry = int(self._entries[place])
        return entry & _LOW if entry else None

    def point(self, place: int, hashed: int, position: int) -> None:
        """Have an entry point to a record."""
        self._entries[place] = tag_of(hashed) << 32 | position

    def clear(self, place: int) -> None:
        """Remove an entry."""
        self._entries[place] = 0

    def make_place(self, hashed: int) -> int | None:
        """A place for a new entry; None when there is none and none can be made."""
        starts = self._starts(hashed)
        for start in starts:
            if (free := self._free(start)) is not None:
                return free
        for start in starts:
            for place in range(start, start + BUCKET_ENTRIES):
                if self._move(place):
                    return place
        return None

    def _move(self, place: int) -> bool:
        """Move an entry to its other bucket, if that has room; its old place may be used then.

        A program may look into the bucket to come before the entry is there, and into this one
        after it has gone. It takes the packet for one of no flow then, and its next step, which
        looks once more, finds it.
        """
        entry = self._entries[place]
        here = place - place % BUCKET_ENTRIES
        for start in self._starts(self._hash_of(int(entry) & _LOW)):
            if start != here and (free := self._free(start)) is not None:
                self._entries[free] = entry
                return True
        return False

    def _free(self, start: int) -> int | None:
        entries = self._entries[start : start + BUCKET_ENTRIES].tolist()
        return start + entries.index(0) if 0 in entries else None

    def _starts(self, hashed: int) -> tuple[int, int]:
        """Where the two buckets of a tuple begin."""
        first = (hashed & _LOW) * self._buckets >> 32
        second = (hashed >> 32) * self._buckets >> 32
        return first * BUCKET_ENTRIES, second * BUCKET_ENTRIES


def buckets_for(flows: int) -> int:
    """How many buckets a table for so many flows has."""
    return max(2, -(-flows // FILL))
