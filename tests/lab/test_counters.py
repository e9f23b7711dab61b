"""Counters that restart at zero are added up."""

from tests.lab.counters import CounterReading, CounterTotal


def test_the_total_continues_when_the_counter_has_a_new_owner() -> None:
    total = CounterTotal([CounterReading(owner=1, packets=100)])
    for packets in (100, 130):
        total.update(CounterReading(1, packets))
    total.update(None)
    assert total.total == 30
    for packets in (0, 5, 7):
        total.update(CounterReading(2, packets))
    assert total.total == 37
    total.update(CounterReading(3, 40))
    assert total.total == 77


def test_the_total_is_of_all_owners() -> None:
    total = CounterTotal([CounterReading(1, 100), CounterReading(2, 50)])
    total.update(CounterReading(1, 110))
    total.update(CounterReading(2, 53))
    total.update(CounterReading(1, 111))
    assert total.total == 14


def test_the_total_starts_without_a_reading() -> None:
    total = CounterTotal()
    total.update(None)
    assert total.total == 0
    total.update(CounterReading(1, 4))
    assert total.total == 4
