"""The report says what the results say, and draws it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench.compare.catalogue import METRIC, Better, Metric, Subject
from tests.bench.compare.model import Measurement
from tests.bench.compare.plots import draw
from tests.bench.compare.report import write
from tests.bench.compare.results import Key, Results
from tests.bench.compare.targets import Aim

Fill = Callable[..., Results]


def report(subject: Subject, results: Results) -> str:
    return write([subject], [], results, lambda each: f"benchmarks/{each.question}.svg")


def test_a_figure_is_the_median_with_its_spread(fill: Fill, subject: Subject) -> None:
    text = report(subject, fill(ceiling=[5000.0, 5200.0, 5100.0], go=[400.0, 380.0, 410.0]))
    assert "| ceiling | 5,100 (5,000 to 5,200) |" in text
    assert "| go | 400 (380 to 410) |" in text
    assert "| | 100 flows |" in text
    assert "**thousand packets a second (higher is better), 160 bytes**" in text
    assert "![Loss-free rate](benchmarks/rate.svg)" in text


def test_ratios_to_the_reference_follow(fill: Fill, subject: Subject) -> None:
    text = report(subject, fill(ceiling=[4000.0, 8000.0], go=[400.0, 400.0]))
    _, ratios = text.split("divided by the figure of ceiling")
    assert "| ceiling | 1.00 |" in ratios
    assert "| go | 0.08 |" in ratios  # the median of 0.1 and 0.05


def test_without_the_reference_there_are_no_ratios(fill: Fill, subject: Subject) -> None:
    assert "divided by" not in report(subject, fill(go=[400.0], nginx=[440.0]))


def test_what_is_not_compared_has_no_ratios(fill: Fill, subject: Subject) -> None:
    lost = Metric("lost", "lost", Better.LOWER, compared=False)
    both = replace(subject, metrics=(*subject.metrics, lost), columns=(METRIC,))
    results = fill(ceiling=[4000.0], go=[400.0])
    for name in ("ceiling", "go"):
        parameters: dict[str, int | str] = {"payload": 160, "flows": 100}
        results.add(Measurement("rate", name, "lost", 7.0, parameters), 0)
    figures, ratios = report(both, results).split("divided by the figure of ceiling")
    assert "| go | 400 | 7 |" in figures
    assert "| go | 0.10 |" in ratios


def test_what_was_not_measured_stays_empty(fill: Fill, subject: Subject) -> None:
    results = fill(ceiling=[5000.0])
    results.add(Measurement("rate", "go", "kpps", 1.0, {"payload": 160, "flows": 1}), 0)
    text = report(subject, results)
    assert "| | 1 flow | 100 flows |" in text
    assert "| ceiling |  | 5,000 |" in text


def test_a_question_that_was_not_asked_has_no_section(fill: Fill, subject: Subject) -> None:
    assert "Latency" not in write(
        [subject, replace(subject, question="latency", title="Latency")],
        [],
        fill(go=[400.0]),
        lambda _: "",
    )


def test_metrics_can_be_the_columns(fill: Fill) -> None:
    latency = Subject(
        question="rate",
        title="Latency",
        text="",
        metrics=(
            Metric("kpps", "rate", Better.HIGHER),
            Metric("p99_us", "p99 (µs)", Better.LOWER, 1),
        ),
        columns=(METRIC,),
    )
    results = fill(go=[400.0])
    results.add(Measurement("rate", "go", "p99_us", 9.25, {"payload": 160, "flows": 100}), 0)
    text = report(latency, results)
    assert "| | rate | p99 (µs) |" in text
    assert "| go | 400 | 9.2 |" in text
    assert "**100 flows, 160 bytes**" in text


def test_aims_are_judged(fill: Fill, subject: Subject) -> None:
    key = Key("rate", "kpps", (("flows", 100), ("payload", 160)), "go")
    results = fill(go=[400.0])
    aims = [
        Aim("go's rate", lambda of: of(key), 300, at_least=True, digits=0),
        Aim("go's rate, again", lambda of: of(key), 300, digits=0),
    ]
    text = write([subject], aims, results, lambda _: "")
    assert "| go's rate | at least 300 | 400 | met |" in text
    assert "| go's rate, again | at most 300 | 400 | missed |" in text


def test_a_figure_that_the_sender_bounds_is_marked(fill: Fill, subject: Subject) -> None:
    (metric,) = subject.metrics
    bounded = replace(subject, metrics=(replace(metric, bounded_by="limited"),))
    results = fill(ceiling=[5000.0], go=[400.0])
    for contestant, value in (("ceiling", 1.0), ("go", 0.0)):
        parameters: dict[str, int | str] = {"payload": 160, "flows": 100}
        results.add(Measurement("rate", contestant, "limited", value, parameters), 0)
    text = report(bounded, results)
    assert "| ceiling | ≥ 5,000 |" in text
    assert "| go | 400 |" in text


def test_who_was_left_out_and_what_failed_is_said(fill: Fill, subject: Subject) -> None:
    results = fill(go=[400.0])
    results.left_out["nginx"] = "nginx is not installed"
    results.failures.append("coturn: it did not start")
    text = report(subject, results)
    assert "* Left out: nginx. nginx is not installed" in text
    assert "* Failed: coturn: it did not start" in text


@pytest.mark.parametrize("flows", [(100,), (1, 100, 10_000)])
def test_a_picture_shows_every_contestant(
    fill: Fill, subject: Subject, tmp_path: Path, flows: tuple[int, ...]
) -> None:
    results = fill(ceiling=[5000.0, 5200.0], go=[400.0, 380.0])
    for count in flows:
        parameters: dict[str, int | str] = {"payload": 160, "flows": count}
        for name in ("ceiling", "go"):
            results.add(Measurement("rate", name, "kpps", 100.0, parameters), 0)
    path = tmp_path / "pictures" / "rate.svg"
    draw(subject, results, path)
    once = path.read_bytes()
    draw(subject, results, path)
    assert path.read_bytes() == once
    root = ET.fromstring(once)  # noqa: S314  # our own
    assert root.tag.endswith("svg")
    for comment in (b"<!-- ceiling -->", b"<!-- go -->"):
        assert comment in once
