"""A change is one of ratios, beyond a tolerance and beyond the spread."""

from collections.abc import Callable
from dataclasses import replace

from tests.bench.compare.report.baseline import moves
from tests.bench.compare.report.results import Results
from tests.bench.compare.report.sections import Better, Section

Fill = Callable[..., Results]


def test_a_faster_machine_is_no_change(fill: Fill, section: Section) -> None:
    before = fill(ceiling=[1000.0, 1000.0], go=[100.0, 102.0])
    now = fill(ceiling=[3000.0, 3100.0], go=[300.0, 309.0])
    assert list(moves([section], before, now)) == []


def test_a_ratio_that_fell_is_worse(fill: Fill, section: Section) -> None:
    before = fill(ceiling=[1000.0, 1000.0], go=[100.0, 102.0])
    now = fill(ceiling=[1000.0, 1000.0], go=[60.0, 61.0])
    (move,) = moves([section], before, now)
    assert move.worse
    assert (move.key.system, move.reference) == ("go", "ceiling")
    assert round(move.before, 3) == 0.101
    assert round(move.now, 4) == 0.0605


def test_where_lower_is_better_a_ratio_that_rose_is_worse(fill: Fill, section: Section) -> None:
    latency = replace(section, metrics=(replace(section.metrics[0], better=Better.LOWER),))
    before = fill(ceiling=[1000.0, 1000.0], go=[100.0, 102.0])
    now = fill(ceiling=[1000.0, 1000.0], go=[200.0, 202.0])
    assert [move.worse for move in moves([latency], before, now)] == [True]


def test_a_small_change_is_none(fill: Fill, section: Section) -> None:
    before = fill(ceiling=[1000.0], go=[100.0])
    now = fill(ceiling=[1000.0], go=[120.0])
    assert list(moves([section], before, now)) == []
    assert len(list(moves([section], before, now, tolerance=0.1))) == 1


def test_a_change_within_the_spread_is_none(fill: Fill, section: Section) -> None:
    before = fill(ceiling=[1000.0, 1000.0], go=[100.0, 200.0])
    now = fill(ceiling=[1000.0, 1000.0], go=[190.0, 400.0])
    assert list(moves([section], before, now)) == []


def test_what_only_one_run_has_is_passed_over(fill: Fill, section: Section) -> None:
    before = fill(ceiling=[1000.0], go=[100.0])
    now = fill(ceiling=[1000.0], nginx=[100.0])
    assert list(moves([section], before, now)) == []
