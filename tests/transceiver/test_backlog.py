"""How late what comes is read, and turns are served, in simulated time."""

import pytest

from transceiver.backlog import (
    CALM,
    INTERVAL,
    LATE,
    STALE,
    TURN_LATE,
    Backlog,
    believed,
    count_stale,
)

EACH = 0.02  # seconds between two batches


class Reader:
    """Reads a batch every 20 ms, or serves a turn."""

    def __init__(self) -> None:
        self.backlog = Backlog()
        self.now = 100.0

    def read(self, waited: float, seconds: float) -> None:
        for _ in range(round(seconds / EACH)):
            self.now += EACH
            self.backlog.note(waited, 64, self.now)

    def speak(self, late: float, seconds: float) -> None:
        for _ in range(round(seconds / EACH)):
            self.now += EACH
            self.backlog.note_turn(late, self.now)

    @property
    def behind(self) -> bool:
        return self.backlog.behind(self.now)


def test_a_queue_that_stays_is_a_burden_too_many() -> None:
    reader = Reader()
    reader.read(LATE, INTERVAL / 2)
    assert not reader.behind
    reader.read(LATE, INTERVAL / 2 + 2 * EACH)
    assert reader.behind


def test_turns_that_are_late_without_a_break_are_a_burden_too_many_too() -> None:
    reader = Reader()
    reader.speak(TURN_LATE, INTERVAL)
    reader.speak(TURN_LATE - 0.001, EACH)
    reader.speak(TURN_LATE, INTERVAL)
    assert not reader.behind
    reader.read(0.0, EACH)  # what comes is little, and read in time
    reader.speak(TURN_LATE, 2 * EACH)
    assert reader.behind


def test_a_burst_is_none() -> None:
    reader = Reader()
    for _ in range(10):
        reader.read(5.0, INTERVAL - EACH)
        reader.read(LATE - 0.001, EACH)
    assert not reader.behind


def test_where_nothing_came_or_the_process_stood_still_no_queue_stayed() -> None:
    reader = Reader()
    for _ in range(10):
        reader.read(5.0, EACH)
        reader.now += INTERVAL + EACH
    assert not reader.behind


def test_it_has_caught_up_after_a_while_without() -> None:
    reader = Reader()
    reader.read(LATE, INTERVAL + 2 * EACH)
    reader.read(0.0, CALM - EACH)
    assert reader.behind
    reader.read(0.0, 2 * EACH)
    assert not reader.behind


def test_an_operator_is_told_once_of_each_change() -> None:
    reader = Reader()
    assert reader.backlog.news(reader.now) is None
    reader.read(0.8, 2 * INTERVAL)
    told = reader.backlog.news(reader.now)
    assert told is not None
    assert "is 800 ms behind" in told
    assert "`capacity`" in told
    assert reader.backlog.news(reader.now) is None
    reader.read(2.5, INTERVAL)
    reader.now += CALM
    told = reader.backlog.news(reader.now)
    assert told is not None
    assert "up to 2500 ms behind" in told
    assert reader.backlog.news(reader.now) is None


def test_waits_are_counted_for_each_datagram() -> None:
    reader = Reader()
    reader.read(0.003, 10 * EACH)
    assert reader.backlog.waits.count == 640
    assert reader.backlog.waits.quantile(0.5) == pytest.approx(0.005)


def test_what_came_too_long_ago_is_the_first_of_a_batch() -> None:
    assert count_stale([], 10.0) == 0
    assert count_stale([9.0, 9.5, 9.61, 9.9], 10.0) == 2
    assert count_stale([10.001 - STALE, 10.0], 10.0) == 0
    assert count_stale([1.0, 2.0], 10.0) == 2
    assert count_stale([11.0], 10.0) == 0, "the clock was set back"


def test_a_clock_that_is_minutes_off_is_not_believed() -> None:
    assert believed([], 10.0) == []
    assert believed([1.0, 9.0], 10.0) == [1.0, 9.0]
    assert believed([5.0], 1.0) == [5.0], "it was set back"
    assert not believed([1.0, 9.0], 301.0)
