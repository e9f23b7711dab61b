"""The scheduler's ticks as seconds."""

import time

import pytest

from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.ticks import Ticks, tick_seconds

UNIT = 64  # ticks


def test_a_moment_is_never_late_and_at_most_a_tick_early() -> None:
    tick, ticks = 0.004, 4_300_000_000
    clock = Ticks(tick, ticks, 1000.0)
    seen = ticks // UNIT
    began = 1000.0 - (ticks - seen * UNIT) * tick  # when the unit did, at the latest
    assert clock.moment(seen) == pytest.approx(began - tick, abs=1e-6)
    assert clock.moment(seen + 10) - clock.moment(seen) == pytest.approx(10 * UNIT * tick)
    assert clock.moment(0) == 0.0


def test_what_was_seen_at_a_moment() -> None:
    clock = Ticks(0.001, 64_000, 100.0)
    for seen in (1, 999, 1000):
        assert clock.at(clock.moment(seen) + 0.001) == seen
    assert clock.at(-1e9) == 0


@pytest.mark.bpf
def test_the_kernel_tells_them(pins: Pins) -> None:
    before = time.monotonic()
    clock = Ticks.read(pins.ticks)
    seen = clock.at(before)
    assert before - (UNIT + 2) * tick_seconds() <= clock.moment(seen) <= before
    assert 0.0005 < tick_seconds() < 0.011  # 1000 to 100 in a second
