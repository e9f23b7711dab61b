"""Buckets of latencies, and percentiles of what is in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.compare.traffic.histogram import Histogram, bucket_of, lowest_of
from tests.bench.compare.traffic.layout import BUCKETS


def histogram(*values: int) -> Histogram:
    counts = [0] * BUCKETS
    for value in values:
        counts[bucket_of(value)] += 1
    return Histogram(counts, max(values, default=0))


@given(st.integers(0, (1 << 35) - 1))
def test_a_value_is_in_its_bucket(value: int) -> None:
    bucket = bucket_of(value)
    assert bucket < BUCKETS
    assert lowest_of(bucket) <= value < lowest_of(bucket + 1)


def test_buckets_are_narrow_and_follow_each_other() -> None:
    for bucket in range(BUCKETS):
        lowest, above = lowest_of(bucket), lowest_of(bucket + 1)
        assert bucket_of(lowest) == bucket
        assert bucket_of(above - 1) == bucket
        assert above - lowest <= max(1, lowest / 32)


def test_percentiles_of_small_values_are_exact() -> None:
    made = histogram(*range(1, 51))
    assert made.total == 50
    assert [made.percentile(share) for share in (0.02, 0.5, 0.99, 1.0)] == [1, 25, 50, 50]


def test_a_percentile_does_not_exceed_the_slowest() -> None:
    made = histogram(1000, 1_000_000)
    assert made.percentile(0.5) == pytest.approx(1000, rel=1 / 32)
    assert made.percentile(0.99) <= 1_000_000
    assert made.percentile(0.99) == pytest.approx(1_000_000, rel=1 / 32)


def test_there_is_no_latency_of_no_packets() -> None:
    with pytest.raises(ValueError, match="no packets"):
        histogram().percentile(0.5)
