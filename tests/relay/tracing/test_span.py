"""Spans as services make them."""

from relay.tracing.span import WallClock


def test_unix_time_goes_with_the_monotonic_clock() -> None:
    clock = WallClock(unix=1_700_000_000.0, monotonic=50.0)
    assert clock.at(50.0) == 1_700_000_000.0
    assert clock.at(51.5) == 1_700_000_001.5
    assert clock.at(49.0) == 1_699_999_999.0
