"""The hash table of tuples in plain memory: nothing is lost, up to the fill that it promises."""

import random

import pytest

from relay.dataplane.kernel.flowindex import (
    BUCKET_ENTRIES,
    FILL,
    FlowIndex,
    buckets_for,
    hash_tuple,
    tag_of,
)
from relay.wire.endpoint import Endpoint

SEED = 20261126
VIP, VIP6 = Endpoint("203.0.113.10", 3478), Endpoint("2001:db8:1::10", 3478)


def client(number: int) -> Endpoint:
    return Endpoint(f"198.51.{number >> 8 & 255}.{number & 255}", 1024 + number % 60_000)


class Table:
    """An index in memory of its own, with the hashes of what it holds by position."""

    def __init__(self, buckets: int) -> None:
        self.hashes: dict[int, int] = {}
        entries = memoryview(bytearray(64 * buckets)).cast("Q")
        self.index = FlowIndex(entries, self.hashes.__getitem__)

    def add(self, hashed: int) -> bool:
        place = self.index.make_place(hashed)
        if place is None:
            return False
        position = len(self.hashes)
        self.hashes[position] = hashed
        self.index.point(place, hashed, position)
        return True

    def found(self, hashed: int) -> int | None:
        place = self.index.find(hashed)
        return None if place is None else self.index.position(place)


def hashes(count: int) -> list[int]:
    chance = random.Random(SEED)
    return [chance.getrandbits(64) for _ in range(count)]


@pytest.mark.parametrize("flows", [1, 8, 100, 20_000])
def test_as_many_fit_as_it_is_made_for_and_each_is_found(flows: int) -> None:
    table = Table(buckets_for(flows))
    wanted = hashes(flows)
    assert all(map(table.add, wanted))
    assert [table.found(hashed) for hashed in wanted] == list(range(flows))


def test_the_tuples_of_a_network_spread_as_well() -> None:
    flows = 20_000
    table = Table(buckets_for(flows))
    for number in range(flows):
        source = Endpoint("198.51.100.7", 1024 + number) if number % 2 else client(number)
        assert table.add(hash_tuple(SEED, source.packed, VIP.packed))


def test_full_buckets_refuse_and_nothing_moves_away() -> None:
    table = Table(2)
    wanted = hashes(2 * BUCKET_ENTRIES + 10)
    placed = [hashed for hashed in wanted if table.add(hashed)]
    assert len(placed) >= 2 * FILL
    assert [table.found(hashed) for hashed in placed] == list(range(len(placed)))
    assert table.found(next(h for h in wanted if h not in placed)) is None


def test_what_is_cleared_is_not_found_and_its_place_is_used_again() -> None:
    table = Table(2)
    first, second = hashes(2)
    table.add(first)
    place = table.index.find(first)
    assert place is not None
    table.index.clear(place)
    assert (table.found(first), table.index.position(place)) == (None, None)
    assert table.add(second)
    assert table.found(second) == 1


def test_a_hash_depends_on_all_of_a_tuple() -> None:
    source, source6 = Endpoint("198.51.100.7", 4711), Endpoint("2001:db8:9::7", 4711)
    seen = {hash_tuple(SEED, source.packed, VIP.packed)}
    for seed, sender, target in (
        (SEED + 1, source, VIP),
        (SEED, source._replace(port=4712), VIP),
        (SEED, Endpoint("198.51.100.8", 4711), VIP),
        (SEED, source, VIP._replace(port=3479)),
        (SEED, source, Endpoint("203.0.113.11", 3478)),
        (SEED, source6, VIP6),
        (SEED, Endpoint("2001:db8:9:1::7", 4711), VIP6),
        (SEED, source6, Endpoint("2001:db8:1:1::10", 3478)),
    ):
        hashed = hash_tuple(seed, sender.packed, target.packed)
        assert tag_of(hashed) != 0
        seen.add(hashed)
    assert len(seen) == 9
    assert len({tag_of(hashed) for hashed in seen}) == 9
