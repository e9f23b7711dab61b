"""Silence and losses, from arrivals."""

import pytest

from tests.bench.failover.gaps import Gap, Way, gaps, quantile, way
from tests.bench.failover.recorder import Arrival, Flow

PERIOD = 0.02


def voice(numbers: range, relay: str = "", *, late: float = 0.0) -> list[Arrival]:
    """A packet each 20 ms, of which number 0 is at second 100."""
    return [
        Arrival(100.0 + PERIOD * number + late, number % (1 << 16), relay) for number in numbers
    ]


def test_the_longest_time_between_two_packets_counts() -> None:
    heard = way(voice(range(-10, 5)) + voice(range(8, 40)), 100.0, 100.8)
    assert heard.silence == pytest.approx(4 * PERIOD)
    assert heard.lost == 3


def test_a_late_packet_is_not_lost() -> None:
    heard = way(voice(range(-10, 5)) + voice(range(5, 8), late=0.5) + voice(range(8, 40)), 100, 101)
    assert heard.lost == 0


def test_packets_of_long_before_that_come_very_late_do_not_count() -> None:
    stood = [each._replace(at=100.3) for each in voice(range(-200, -195))]
    assert way(voice(range(-10, 40)) + stood, 100.0, 100.8).lost == 0


def test_numbers_wrap_and_come_in_another_order() -> None:
    first, second, third, fourth = voice(range(65_534, 65_538))
    at = first.at
    swapped = [second._replace(at=at), first._replace(at=at + 0.01), fourth._replace(at=at + 0.02)]
    assert way(swapped, at, at + 0.03).lost == 1
    assert third.number == 0


def test_a_flow_that_is_not_heard_again_is_silent_to_the_end() -> None:
    assert way(voice(range(-10, 1)), 100.0, 102.0) == Way(2.0, 0)
    assert way([], 100.0, 102.0) == Way(2.0, 0)


def test_a_flow_is_told_with_the_relays_before_and_after() -> None:
    moved = Flow(voice(range(-10, 1), "a") + voice(range(3, 10), "b"), voice(range(-10, 10)))
    later = Flow(voice(range(20, 30), "c"), voice(range(20, 30)))  # was not there before
    (gap,) = gaps({1: moved, 2: later}, 100.001, 100.2)
    assert (gap.before, gap.after) == ("a", "b")
    assert gap.silence == pytest.approx(3 * PERIOD)
    assert gap.lost == 2
    assert gap == Gap("a", "b", gap.to_transceiver, gap.to_client)


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_quantiles(share: float, value: int) -> None:
    assert quantile(range(1, 101), share) == value


def test_quantiles_of_few() -> None:
    assert quantile([], 0.5) == 0.0
    assert quantile([7.0], 0.99) == 7.0
    assert quantile([1.0, 2.0, 3.0], 0.5) == 2.0
