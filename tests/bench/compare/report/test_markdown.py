"""The report says what the results say, and draws it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench.compare.conftest import rate_key
from tests.bench.compare.report.markdown import write
from tests.bench.compare.report.plots import draw
from tests.bench.compare.report.results import Results
from tests.bench.compare.report.sections import METRIC, Better, Metric, Section
from tests.bench.compare.report.targets import Target

Fill = Callable[..., Results]


def report(section: Section, results: Results) -> str:
    return write([section], [], results, lambda each: f"benchmarks/{each.benchmark}.svg")


def test_a_figure_is_the_median_with_its_spread(fill: Fill, section: Section) -> None:
    text = report(section, fill(ceiling=[5000.0, 5200.0, 5100.0], go=[400.0, 380.0, 410.0]))
    assert "| ceiling | 5,100 (5,000 to 5,200) |" in text
    assert "| go | 400 (380 to 410) |" in text
    assert "| | 100 flows |" in text
    assert "**thousand packets a second (higher is better), 160 bytes**" in text
    assert "![Loss-free rate](benchmarks/rate.svg)" in text


def test_ratios_to_the_reference_follow(fill: Fill, section: Section) -> None:
    text = report(section, fill(ceiling=[4000.0, 8000.0], go=[400.0, 400.0]))
    _, ratios = text.split("divided by the figure of ceiling")
    assert "| ceiling | 1.00 |" in ratios
    assert "| go | 0.08 |" in ratios  # the median of 0.1 and 0.05


def test_without_the_reference_there_are_no_ratios(fill: Fill, section: Section) -> None:
    assert "divided by" not in report(section, fill(go=[400.0], nginx=[440.0]))


def test_what_is_not_compared_has_no_ratios(fill: Fill, section: Section) -> None:
    lost = Metric("lost", "lost", Better.LOWER, compared=False)
    both = replace(section, metrics=(*section.metrics, lost), columns=(METRIC,))
    results = fill(ceiling=[4000.0], go=[400.0])
    for name in ("ceiling", "go"):
        results.add(rate_key(name, "lost"), 0, 7.0)
    figures, ratios = report(both, results).split("divided by the figure of ceiling")
    assert "| go | 400 | 7 |" in figures
    assert "| go | 0.10 |" in ratios


def test_what_was_not_measured_stays_empty(fill: Fill, section: Section) -> None:
    results = fill(ceiling=[5000.0])
    results.add(rate_key("go", flows=1), 0, 1.0)
    text = report(section, results)
    assert "| | 1 flow | 100 flows |" in text
    assert "| ceiling |  | 5,000 |" in text


def test_a_benchmark_that_was_not_run_has_no_section(fill: Fill, section: Section) -> None:
    assert "Latency" not in write(
        [section, replace(section, benchmark="latency", title="Latency")],
        [],
        fill(go=[400.0]),
        lambda _: "",
    )


def test_metrics_can_be_the_columns(fill: Fill) -> None:
    latency = Section(
        benchmark="rate",
        title="Latency",
        text="",
        metrics=(
            Metric("kpps", "rate", Better.HIGHER),
            Metric("p99_us", "p99 (µs)", Better.LOWER, 1),
        ),
        columns=(METRIC,),
    )
    results = fill(go=[400.0])
    results.add(rate_key("go", "p99_us"), 0, 9.25)
    text = report(latency, results)
    assert "| | rate | p99 (µs) |" in text
    assert "| go | 400 | 9.2 |" in text
    assert "**100 flows, 160 bytes**" in text


def test_targets_are_judged(fill: Fill, section: Section) -> None:
    key = rate_key("go")
    results = fill(go=[400.0])
    targets = [
        Target("go's rate", lambda of: of(key), 300, at_least=True, digits=0),
        Target("go's rate, again", lambda of: of(key), 300, digits=0),
    ]
    text = write([section], targets, results, lambda _: "")
    assert "| go's rate | at least 300 | 400 | met |" in text
    assert "| go's rate, again | at most 300 | 400 | missed |" in text


def test_a_figure_that_the_sender_bounds_is_marked(fill: Fill, section: Section) -> None:
    (metric,) = section.metrics
    bounded = replace(section, metrics=(replace(metric, bounded_by="limited"),))
    results = fill(ceiling=[5000.0], go=[400.0])
    for system, value in (("ceiling", 1.0), ("go", 0.0)):
        results.add(rate_key(system, "limited"), 0, value)
    text = report(bounded, results)
    assert "| ceiling | ≥ 5,000 |" in text
    assert "| go | 400 |" in text


def test_what_was_left_out_and_what_failed_is_listed(fill: Fill, section: Section) -> None:
    results = fill(go=[400.0])
    results.left_out["nginx"] = "nginx is not installed"
    results.failures.append("coturn: it did not start")
    text = report(section, results)
    assert "* Left out: nginx. nginx is not installed" in text
    assert "* Failed: coturn: it did not start" in text


@pytest.mark.parametrize("flows", [(100,), (1, 100, 10_000)])
def test_a_picture_shows_every_system(
    fill: Fill, section: Section, tmp_path: Path, flows: tuple[int, ...]
) -> None:
    results = fill(ceiling=[5000.0, 5200.0], go=[400.0, 380.0])
    for count in flows:
        for name in ("ceiling", "go"):
            results.add(rate_key(name, flows=count), 0, 100.0)
    path = tmp_path / "pictures" / "rate.svg"
    draw(section, results, path)
    once = path.read_bytes()
    draw(section, results, path)
    assert path.read_bytes() == once
    root = ET.fromstring(once)  # noqa: S314  # our own
    assert root.tag.endswith("svg")
    for comment in (b"<!-- ceiling -->", b"<!-- go -->"):
        assert comment in once
