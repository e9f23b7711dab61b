"""The page says what a run found, and the project's is of its figures."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.bench.errors import BenchError
from tests.bench.scale import world
from tests.bench.scale.costs import Costs
from tests.bench.scale.figures import Figures
from tests.bench.scale.plots import PICTURES
from tests.bench.scale.run import QUICK, run
from tests.bench.scale.text import page

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def committed() -> Figures:
    return Figures.loads((DOCS / "scale.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def costs() -> Costs:
    return Costs.read(DOCS / "benchmarks.json", DOCS / "mirror.json")


def test_the_projects_page_is_made_of_its_figures(committed: Figures) -> None:
    assert (DOCS / "scale.md").read_text("utf-8") == page(committed)
    for name in PICTURES:
        assert f"scale/{name}.svg" in page(committed)
        assert (DOCS / "scale" / f"{name}.svg").is_file()


def test_the_projects_figures_are_of_its_costs_and_assumptions(
    committed: Figures, costs: Costs
) -> None:
    assert [tuple(each) for each in committed.assumptions] == list(world.ASSUMPTIONS)
    fresh = asdict(costs)
    for name in ("setups", "round_trips", "first_audio_ms", "record_bytes", "listener_us"):
        assert committed.costs[name] == pytest.approx(fresh[name], rel=1e-5)
    for name, request in fresh["requests"].items():
        assert committed.costs["requests"][name] == pytest.approx(request, rel=1e-5)
    for flows, rate in fresh["rates"].items():
        assert committed.costs["rates"][str(flows)] == pytest.approx(rate, rel=1e-5)


def test_no_call_of_the_projects_run_is_missing(committed: Figures) -> None:
    told = dict(committed.balance)
    assert told.pop("arrived") == sum(
        told.get(name, 0) for name in ("ended", "cut", "refused", "active")
    )


def test_a_run_is_repeatable_and_comes_back_from_its_file(costs: Costs) -> None:
    def made(seed: int) -> str:
        return run(costs, seed, QUICK, "command", lambda _: None).dumps()

    text = made(1)
    assert made(1) == text != made(2)
    figures = Figures.loads(text)
    assert figures.dumps() == text
    said = page(figures)
    for event in figures.events:
        assert f"| {event.what} | {event.spread} |" in said
    for limit in figures.limits:
        assert f"| {limit.what} |" in said
        assert limit.remedy in said
    assert figures.limits == sorted(figures.limits, key=lambda each: each.times)


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"day": [{}]})])
def test_another_file_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match=r"not what `python -m tests[.]bench scale` writes"):
        Figures.loads(text)
