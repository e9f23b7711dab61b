"""Results keep their rounds apart, and survive a file."""

import json
from collections.abc import Callable

import pytest

from tests.bench.compare.conftest import rate_key
from tests.bench.compare.report.results import Results, ResultsError

Fill = Callable[..., Results]


def test_a_file_gives_back_what_was_written(fill: Fill) -> None:
    results = fill(ceiling=[5000.0, 5200.0], go=[None, 400.0])
    results.left_out["nginx"] = "not installed"
    results.failures.append("go: it did not start")
    again = Results.loads(results.dumps())
    assert again == results
    assert again.values(rate_key("go")) == [400.0]


def test_ratios_are_taken_within_a_round(fill: Fill) -> None:
    results = fill(ceiling=[4000.0, 8000.0, 6000.0], go=[400.0, None, 300.0])
    assert results.ratios(rate_key("go"), "ceiling") == [0.1, 0.05]


def test_there_is_no_ratio_without_a_reference(fill: Fill) -> None:
    results = fill(go=[400.0], nothing=[0.0])
    assert results.ratios(rate_key("go"), "ceiling") == []
    assert results.ratios(rate_key("go"), "nothing") == []


def test_systems_come_in_the_order_in_which_they_were_measured(fill: Fill) -> None:
    assert fill(zebra=[1.0], ape=[1.0]).systems() == ["zebra", "ape"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 2, "figures": [1]}'])
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(ResultsError, match="no results"):
        Results.loads(text)


def test_another_version_is_refused(fill: Fill) -> None:
    other = json.loads(fill(go=[1.0]).dumps()) | {"format": 1}
    with pytest.raises(ResultsError, match="another version"):
        Results.loads(json.dumps(other))
