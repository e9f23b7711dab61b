"""An target is judged by the median of what each round gave."""

from collections.abc import Callable

from tests.bench.compare.conftest import rate_key
from tests.bench.compare.report.results import Results
from tests.bench.compare.report.targets import Target, outcomes

Fill = Callable[..., Results]


FASTER = Target(
    "ours by theirs", lambda of: of(rate_key("ours")) / of(rate_key("theirs")), 10, at_least=True
)


def test_a_target_is_met_or_missed(fill: Fill) -> None:
    (met,) = outcomes([FASTER], fill(ours=[100.0, 120.0, 80.0], theirs=[10.0, 10.0, 10.0]))
    assert (met.value, met.met) == (10.0, True)
    (missed,) = outcomes([FASTER], fill(ours=[99.0], theirs=[10.0]))
    assert not missed.met


def test_an_upper_limit(fill: Fill) -> None:
    target = Target(
        "theirs above ours", lambda of: of(rate_key("theirs")) - of(rate_key("ours")), 3
    )
    assert [each.met for each in outcomes([target], fill(ours=[9.0], theirs=[12.0]))] == [True]
    assert [each.met for each in outcomes([target], fill(ours=[9.0], theirs=[12.5]))] == [False]


def test_a_round_that_lacks_a_figure_does_not_count(fill: Fill) -> None:
    (outcome,) = outcomes([FASTER], fill(ours=[100.0, 50.0], theirs=[None, 10.0]))
    assert outcome.value == 5.0


def test_a_target_without_figures_is_passed_over(fill: Fill) -> None:
    assert list(outcomes([FASTER], fill(ours=[100.0]))) == []
    assert list(outcomes([FASTER], fill(ours=[100.0], theirs=[0.0]))) == []
