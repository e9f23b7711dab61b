"""The hash table of tuples in plain memory: nothing is lost, up to the fill that it promises."""

import random
from collections import Counter
from itertools import product

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

    def __init__(self, buckets: int, stash: int = 0) -> None:
        self.hashes: dict[int, int] = {}
        self.entries = memoryview(bytearray(64 * (buckets + stash))).cast("Q")
        self.index = FlowIndex(self.entries, buckets, self.hashes.__getitem__)

    def add(self, hashed: int) -> bool:
        place = self.index.make_place(hashed)
        if place is None:
            return False
        position = len(self.hashes)
        self.hashes[position] = hashed
        self.index.point(place, hashed, position)
        return True

    def found(self, hashed: int) -> int | None:
        places = self.index.look(hashed)[0]
        assert len(places) < 2
        return self.index.position(places[0]) if places else None


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


@pytest.mark.parametrize("vip", [VIP, VIP6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(("addresses", "ports"), [(20, 5_000), (2, 50_000), (100_000, 1)])
def test_the_two_buckets_of_clients_are_as_if_by_chance(
    vip: Endpoint, addresses: int, ports: int
) -> None:
    """More even is as bad: what follows a pattern leaves no way round a full bucket."""
    prefix = VIP.packed[:12] if vip is VIP else VIP6.packed[:12]
    pairs: Counter[tuple[int, int]] = Counter()
    for address, port in product(range(addresses), range(10_000, 10_000 + ports)):
        packed = prefix + address.to_bytes(4, "big") + port.to_bytes(2, "big")
        hashed = hash_tuple(SEED, packed, vip.packed)
        pairs[hashed >> 24 & 0xFF, hashed >> 56] += 1
    cells = 1 << 16
    expected = addresses * ports / cells
    squares = sum((pairs[each] - expected) ** 2 for each in product(range(256), range(256)))
    assert squares / expected / cells == pytest.approx(1.0, abs=0.03)  # chi-squared: 5 sigma


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
    (place,) = table.index.look(first)[0]
    table.index.clear(place)
    assert (table.found(first), table.index.position(place)) == (None, None)
    assert table.add(second)
    assert table.found(second) == 1


def test_what_finds_no_place_is_in_the_stash_until_there_is_one() -> None:
    table = Table(2, stash=1)
    wanted = hashes(2 * BUCKET_ENTRIES + BUCKET_ENTRIES)
    assert all(map(table.add, wanted))
    assert (table.index.stashed, table.add(1)) == (BUCKET_ENTRIES, False)
    assert [table.found(hashed) for hashed in wanted] == list(range(len(wanted)))
    gone = wanted[::3]
    for hashed in gone:
        table.index.clear(*table.index.look(hashed)[0])
        left = [each for each in wanted if table.found(each) is not None]
        assert table.index.stashed == max(0, len(left) - 2 * BUCKET_ENTRIES)
    assert left == [each for each in wanted if each not in gone]
    assert table.index.stashed == 0


def test_a_tuple_that_shares_bucket_and_tag_is_in_the_stash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("relay.dataplane.kernel.flowindex.tag_of", lambda _: 5)
    table = Table(1, stash=1)
    first, second, third = hashes(3)
    assert table.add(first)
    assert table.add(second)
    assert not table.add(third)  # nor two of the stash
    assert [table.index.position(place) for place in table.index.look(first)[0]] == [0, 1]
    assert table.index.stashed == 1
    table.index.clear(table.index.look(first)[0][0])
    assert [table.index.position(place) for place in table.index.look(second)[0]] == [1]
    assert table.index.stashed == 0


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
