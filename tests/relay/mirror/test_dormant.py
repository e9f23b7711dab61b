"""Flows of other relays."""

from collections import Counter

import pytest

from relay.core.flowtuple import Source
from relay.mirror.dormant import LIFE, DormantFlows
from tests.relay.conftest import ALICE, MALLORY, VIP

ONE, OTHER = Source(ALICE, VIP), Source(MALLORY, VIP)


@pytest.fixture
def counters() -> Counter[str]:
    return Counter()


class Expected(set[Source]):
    expect = set.add
    expect_no_more = set.discard


@pytest.fixture
def expected() -> Expected:
    return Expected()


@pytest.fixture
def dormant(counters: Counter[str], expected: Expected) -> DormantFlows:
    return DormantFlows(2, counters, expected)


def test_a_record_wakes_once(dormant: DormantFlows) -> None:
    dormant.put(ONE, b"first", 0.0)
    dormant.put(ONE, b"second", 1.0)
    assert len(dormant) == 1
    assert dormant.pop(ONE, 2.0) == b"second"
    assert dormant.pop(ONE, 2.0) is None
    assert dormant.pop(OTHER, 2.0) is None


def test_the_oldest_goes_when_there_are_too_many(
    dormant: DormantFlows, counters: Counter[str]
) -> None:
    third = Source(VIP, VIP)
    dormant.put(ONE, b"1", 0.0)
    dormant.put(OTHER, b"2", 0.0)
    dormant.put(ONE, b"1", 0.0)  # told again
    dormant.put(third, b"3", 0.0)
    assert counters == {"dormant_dropped": 1}
    assert [dormant.pop(each, 0.0) for each in (ONE, OTHER, third)] == [b"1", None, b"3"]


def test_what_nobody_tells_of_any_more_goes(dormant: DormantFlows, counters: Counter[str]) -> None:
    dormant.put(ONE, b"1", 0.0)
    assert dormant.pop(ONE, LIFE) is None
    dormant.put(ONE, b"1", 0.0)
    dormant.put(OTHER, b"2", LIFE)
    assert len(dormant) == 1
    assert not counters


def test_clients_are_expected_as_long_as_their_records_sleep(
    dormant: DormantFlows, expected: Expected
) -> None:
    dormant.put(ONE, b"first", 0.0)
    dormant.put(ONE, b"second", 1.0)
    dormant.put(OTHER, b"another", 1.0)
    assert expected == {ONE, OTHER} == set(dormant)
    dormant.pop(ONE, 2.0)
    assert expected == {OTHER}
    third, fourth = Source(VIP, VIP), Source(VIP, ALICE)
    dormant.put(third, b"third", 2.0)
    dormant.put(fourth, b"fourth", 2.0)  # no room: the oldest goes
    assert expected == {third, fourth}
    dormant.put(ONE, b"late", 2.0 + LIFE)  # those of before are too old by now
    assert expected == {ONE} == set(dormant)
