"""Limits in time."""

from relay.core.throttle import Throttle, TokenBucket


def test_each_reason_has_a_second_of_its_own() -> None:
    times = iter([0.0, 0.5, 0.5, 0.99, 1.0, 1.2])
    throttle = Throttle(lambda: next(times))
    assert [throttle.allows(reason) for reason in "aabaaa"] == [
        True,
        False,
        True,
        False,
        True,
        False,
    ]


def test_a_line_tells_how_many_were_withheld_before_it() -> None:
    throttle = Throttle(iter([0.0, 0.1, 0.2, 1.0, 2.0]).__next__)
    told = [throttle.withheld("a") if throttle.allows("a") else None for _ in range(5)]
    assert told == ["", None, None, " (and 2 more since the last such line)", ""]


def test_a_bucket_lets_a_burst_pass_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=10, burst=3)
    assert [bucket.take(1000.0) for _ in range(5)] == [True, True, True, False, False]
    assert [bucket.take(1000.1), bucket.take(1000.1)] == [True, False]
    assert [bucket.take(2000.0) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = TokenBucket(rate=10, burst=1)
    assert bucket.take(1000.0)
    assert not bucket.take(0.0)
