import random

import pytest

from transceiver.media.delay import FLOOR, MOST, RATE, START, Delay

MS = RATE / 1_000


def feed(delay: Delay, lateness: list[float], start: float = 0.0, drift: float = 0.0) -> float:
    """Packets of 20 ms with so much lateness in ms; returns when the last one came."""
    clock = start
    for index, late in enumerate(lateness):
        clock = start + 20 * MS * index
        delay.add(1_000 + clock * drift + late * MS, clock)
    return clock


def test_nothing_known_is_the_start() -> None:
    assert Delay().target == START
    assert Delay(2_000).target == 2_000


def test_packets_that_come_evenly_need_the_floor_only() -> None:
    delay = Delay()
    feed(delay, [0.0] * 24)
    assert delay.target == START
    feed(delay, [0.0] * 30)
    assert delay.target == FLOOR
    assert delay.base == 1_000


def test_the_target_covers_nearly_all_packets() -> None:
    chance = random.Random(2)
    late = [chance.uniform(0, 60) for _ in range(400)]
    delay = Delay()
    feed(delay, late)
    covered = sum(each * MS < delay.target for each in late) / len(late)
    assert covered > 0.96
    assert delay.target < 72 * MS


def test_a_change_for_the_worse_counts_within_a_fifth_of_a_second() -> None:
    delay = Delay()
    end = feed(delay, [0.0] * 250)
    feed(delay, [80.0, 0.0] * 6, end)
    assert delay.target > 80 * MS


def test_an_episode_is_forgotten_in_little_more_than_a_second() -> None:
    chance = random.Random(3)
    delay = Delay()
    end = feed(delay, [0.0] * 100 + [chance.uniform(0, 150) for _ in range(150)])
    assert delay.target > 120 * MS
    feed(delay, [0.0] * 65, end)
    assert delay.target == FLOOR


def test_a_slower_path_becomes_the_measure() -> None:
    delay = Delay()
    end = feed(delay, [0.0] * 250)
    feed(delay, [90.0] * 320, end)
    assert delay.base == pytest.approx(1_000 + 90 * MS)
    assert delay.target == FLOOR


def test_clocks_that_drift_apart_are_followed() -> None:
    for drift in (500e-6, -500e-6):
        delay = Delay()
        end = feed(delay, [0.0] * 50 * 600, drift=drift)
        assert delay.base == pytest.approx(1_000 + end * drift, abs=4 * MS)
        assert delay.target < 16 * MS


def test_what_is_old_does_not_count_however_few_packets_came() -> None:
    delay = Delay()
    for index in range(100):  # one in 400 ms, as in a pause
        delay.add(1_000 + index * 50, 400 * MS * index)
    assert delay.base > 1_000 + 60 * 50


def test_there_is_an_upper_limit() -> None:
    delay = Delay()
    feed(delay, [0.0, 900.0] * 100)
    assert delay.target == MOST


def test_more_is_held_back_when_asked() -> None:
    delay = Delay()
    delay.extra = 480
    feed(delay, [0.0] * 50)
    assert delay.target == FLOOR + 480
