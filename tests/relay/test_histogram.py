"""Counting by size."""

import pytest

from relay.histogram import Histogram


def test_each_observation_counts_in_all_limits_that_are_not_below_it() -> None:
    histogram = Histogram((0.1, 0.2, 0.5))
    for seconds in (0.05, 0.1, 0.3, 0.9):
        histogram.observe(seconds)
    assert histogram.as_dict() == {
        "count": 4,
        "sum": 1.35,
        "largest": 0.9,
        "at_most": {"0.1": 2, "0.2": 2, "0.5": 3},
    }


@pytest.mark.parametrize(("share", "limit"), [(0.5, 0.1), (0.75, 0.5), (0.76, 0.9), (1.0, 0.9)])
def test_a_quantile_is_the_limit_below_which_such_a_share_lies(share: float, limit: float) -> None:
    histogram = Histogram((0.1, 0.2, 0.5))
    histogram.observe(0.05, times=2)
    histogram.observe(0.3)
    histogram.observe(0.9)
    assert histogram.quantile(share) == limit


def test_nothing_was_observed() -> None:
    assert Histogram((1.0,)).quantile(0.99) is None


def test_buckets_are_cumulative_as_prometheus_has_them() -> None:
    histogram = Histogram((0.1, 0.5))
    for seconds in (0.05, 0.3, 0.9):
        histogram.observe(seconds)
    assert histogram.buckets == [("0.1", 1), ("0.5", 2), ("+Inf", 3)]
    assert histogram.sum == 1.25


def test_those_of_several_processes_add_up() -> None:
    one, other = Histogram((0.1, 0.5)), Histogram((0.1, 0.5))
    one.observe(0.05)
    other.observe(0.3)
    other.observe(0.9)
    one.add(other.as_numbers())
    one.add({})
    assert one.buckets == [("0.1", 1), ("0.5", 2), ("+Inf", 3)]
    assert one.sum == pytest.approx(1.25)
