"""How long clients wait for another relay: the closed forms."""

from dataclasses import replace
from random import Random
from statistics import fmean

import pytest

from tests.bench.scale.takeover import Desk, gaps, percentile

DESK = Desk(rate=1_000, burst=100, service=1e-6, noted=10**6, lookups=10**6, check_every=1e6)


def test_the_gate_lets_the_unknown_through_one_by_one() -> None:
    found = gaps(1_100, 1_100, replace(DESK, noted=0), Random(1))
    assert len(found) == 1_100
    # The last hundred find a token sooner than they send a packet.
    assert max(found) == pytest.approx((1_100 - 100) / 1_000, rel=0.1)
    assert percentile(found, 0.5) == pytest.approx((550 - 100) / 1_000, rel=0.1)


@pytest.mark.parametrize("noted", [0, 10**6])
def test_the_agent_serves_one_after_the_other(noted: int) -> None:
    desk = replace(DESK, rate=1e9, burst=1e9, service=0.001, noted=noted)
    found = gaps(2_000, 2_000, desk, Random(1))
    assert max(found) == pytest.approx(2_000 * 0.001, rel=0.02)


def test_whose_records_are_noted_do_not_wait_at_the_gate() -> None:
    found = gaps(5_000, 5_000, replace(DESK, rate=1, burst=1), Random(1))
    assert max(found) < 0.02 + 5_000 * DESK.service


def test_a_few_wait_for_their_next_packet_only() -> None:
    found = gaps(50, 50, DESK, Random(1))
    assert max(found) < 0.02 + 50 * DESK.service
    assert fmean(found) == pytest.approx(0.01, abs=0.003)


def test_without_a_mirror_their_next_check_tells() -> None:
    found = gaps(5_000, 5_000, replace(DESK, rate=0, noted=0, check_every=2.5), Random(1))
    assert fmean(found) == pytest.approx(2.5 / 2, rel=0.03)
    assert max(found) == pytest.approx(2.5, abs=0.02)


def test_what_is_not_in_mind_and_not_looked_up_waits_for_a_check() -> None:
    desk = replace(DESK, rate=1e6, burst=1e6, noted=500, lookups=100, check_every=2.5)
    found = gaps(1_000, 1_000, desk, Random(1))
    late = sum(each > 0.05 for each in found)
    assert late == pytest.approx(1_000 - 500 - 100, abs=50)


def test_the_same_seed_gives_the_same() -> None:
    assert gaps(500, 500, DESK, Random(3)) == gaps(500, 500, DESK, Random(3))
    assert gaps(500, 500, DESK, Random(3)) != gaps(500, 500, DESK, Random(4))


def test_nobody_waits_where_nobody_comes() -> None:
    assert gaps(0, 10, DESK, Random(1)) == []
    assert percentile([], 0.99) == 0.0
