"""Where the record of a client's tuple is: a hash table of two choices, in memory (bpf/relay.h).

A tuple has two buckets of eight entries. An entry goes into the first that has room; when neither
has, one that is there moves to its other bucket. So the table fills to three quarters and more, and
most tuples are found in their first bucket: one cache line. (Pagh and Rodler, Cuckoo hashing, 2001;
with buckets, Dietzfelbinger and Weidling, 2005.) What finds no place so is in the stash, which the
program looks through for whatever it has not found (Kirsch, Mitzenmacher and Wieder, 2009).
"""

import sys
from collections.abc import Callable
from struct import Struct

from relay.dataplane.kernel.memory import fence
from relay.wire.endpoint import V4_MAPPED

BUCKET_ENTRIES = 8
STASH_BUCKETS = 8
FILL = 6  # entries that a bucket has, on average, in a table that is full
_FACTOR = 0x9E3779B97F4A7C15
_LOW, _LONG = (1 << 32) - 1, (1 << 64) - 1
_PACKED = Struct("=4IH")  # an endpoint's address in words, and its port, as the program reads them
_MAPPED = Struct("=12xIH")  # the same of IPv4
_COUNTED = 1 << 16  # entries that are counted in one go
_TAG_WORD = 1 if sys.byteorder == "little" else 0  # of the two words of an entry


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
    if client.startswith(V4_MAPPED):
        source_word, source_port = _MAPPED.unpack(client)
        target_word, target_port = _MAPPED.unpack(vip)
        value = hash_word(seed, source_word << 32 | target_word)
    else:
        *source, source_port = _PACKED.unpack(client)
        *target, target_port = _PACKED.unpack(vip)
        value = seed
        for address in (source, target):
            value = hash_word(value, address[0] << 32 | address[1])
            value = hash_word(value, address[2] << 32 | address[3])
    return hash_word(hash_word(value, source_port << 16 | target_port), 0)


def tag_of(hashed: int) -> int:
    """The tag of an entry, from the hash of its tuple: of `hash_word`, what is above 2^32."""
    return (hashed * _FACTOR & _LONG) >> 32 | 1


class FlowIndex:
    """The buckets, as memory; all stores are of one entry at a time.

    Args:
        entries: The table's entries, eight of each bucket; those behind are the stash.
        buckets: How many buckets tuples have.
        hash_of: The hash of the tuple whose record is at a position.
    """

    def __init__(self, entries: memoryview, buckets: int, hash_of: Callable[[int], int]) -> None:
        self._entries = entries
        # An entry's tag is never 0, so tags tell free places, too; they are compared all at once.
        self._tags = entries.cast("B").cast("I")[_TAG_WORD::2]
        self._buckets = buckets
        self._stash = buckets * BUCKET_ENTRIES  # where it begins
        self._hash_of = hash_of

    def close(self) -> None:
        """Let go of the memory."""
        self._tags.release()

    @property
    def stashed(self) -> int:
        """How many entries the stash has."""
        return len(self._stashed())

    def count(self) -> int:
        """How many entries there are."""
        parts = range(0, len(self._tags), _COUNTED)
        return len(self._tags) - sum(
            self._tags[start : start + _COUNTED].tolist().count(0) for start in parts
        )

    def look(self, hashed: int) -> tuple[list[int], int | None]:
        """Look for a tuple.

        Returns:
            Where its entry may be, as `position` and `point` take it; nowhere: it has none. Another
            tuple may have the same tag, so the caller looks at the record. And, where it has none,
            a free place in its buckets, if there is one.
        """
        tag, free = tag_of(hashed), None
        places: list[int] = []
        first, second = self._starts(hashed)
        for start in (first, second) if first != second else (first,):
            tags = self._tags[start : start + BUCKET_ENTRIES].tolist()
            if tag in tags:
                places.append(start + tags.index(tag))
            if free is None and 0 in tags:
                free = start + tags.index(0)
        for offset, entry in enumerate(self._stashed()):
            if entry >> 32 == tag:
                places.append(self._stash + offset)
        return places, None if places else free

    def position(self, place: int) -> int | None:
        """The record that an entry points to; None when the place is free."""
        entry = int(self._entries[place])
        return entry & _LOW if entry else None

    def point(self, place: int, hashed: int, position: int) -> None:
        """Have an entry point to a record."""
        self._entries[place] = tag_of(hashed) << 32 | position

    def clear(self, place: int) -> None:
        """Remove an entry; one of the stash may get a place of its own by that."""
        if place >= self._stash:
            self._unstash(place)
            return
        self._entries[place] = 0
        for offset, entry in enumerate(self._stashed()):
            hashed = self._hash_of(entry & _LOW)
            if self._clashes(hashed):
                continue
            if (free := self._make_bucket_place(hashed)) is not None:
                self._entries[free] = entry
                fence()
                self._unstash(self._stash + offset)
                return

    def make_place(self, hashed: int) -> int | None:
        """A place for a new entry; None when there is none and none can be made.

        The program takes the first entry with a tag, so two tuples that share a bucket and their
        tag are not both in buckets.
        """
        if not self._clashes(hashed):
            place = self._make_bucket_place(hashed)
            if place is not None:
                return place
        tag, stashed = tag_of(hashed), self._stashed()
        place = self._stash + len(stashed)
        is_free = place < len(self._entries) and all(entry >> 32 != tag for entry in stashed)
        return place if is_free else None

    def _make_bucket_place(self, hashed: int) -> int | None:
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

    def _clashes(self, hashed: int) -> bool:
        """Whether a tuple's tag is in one of its buckets."""
        places, _ = self.look(hashed)
        return bool(places) and places[0] < self._stash

    def _stashed(self) -> list[int]:
        """The entries of the stash, which has no gaps."""
        if self._stash == len(self._entries) or not self._entries[self._stash]:
            return []
        entries = self._entries[self._stash :].tolist()
        return entries[: entries.index(0)] if 0 in entries else entries

    def _unstash(self, place: int) -> None:
        """Remove an entry of the stash; the last one takes its place."""
        last = self._stash + len(self._stashed()) - 1
        if last != place:
            self._entries[place] = self._entries[last]
            fence()
        self._entries[last] = 0

    def _free(self, start: int) -> int | None:
        tags = self._tags[start : start + BUCKET_ENTRIES].tolist()
        return start + tags.index(0) if 0 in tags else None

    def _starts(self, hashed: int) -> tuple[int, int]:
        """Where the two buckets of a tuple begin."""
        first = (hashed & _LOW) * self._buckets >> 32
        second = (hashed >> 32) * self._buckets >> 32
        return first * BUCKET_ENTRIES, second * BUCKET_ENTRIES


def buckets_for(flows: int) -> int:
    """How many buckets a table for so many flows has."""
    return max(2, -(-flows // FILL))
