"""A set that gives a random member."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from relay.core.bag import Bag

ITEMS = [[number] for number in range(6)]  # equal to none of the others, and not hashable


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5))))
def test_it_has_what_was_put_in_and_not_taken_out(changes: list[tuple[bool, int]]) -> None:
    bag: Bag[list[int]] = Bag()
    expected: set[int] = set()
    for adding, number in changes:
        if adding:
            bag.add(ITEMS[number])
            expected.add(number)
        else:
            bag.discard(ITEMS[number])
            expected.discard(number)
        assert len(bag) == len(expected)
        assert {number for number in range(6) if ITEMS[number] in bag} == expected
        if expected:
            assert bag.choose(Random(1).randrange)[0] in expected


def test_each_is_as_likely_as_the_others() -> None:
    bag: Bag[list[int]] = Bag()
    for item in ITEMS:
        bag.add(item)
    bag.discard(ITEMS[0])
    rng = Random(1)
    chosen = Counter(bag.choose(rng.randrange)[0] for _ in range(5000))
    assert chosen.keys() == {1, 2, 3, 4, 5}
    assert min(chosen.values()) > 900
