"""Cells of the table: values, and why there are none."""

import pytest

from tests.bench.alternatives.figures.layout import COLUMNS, ROWS, Cell, cells
from tests.bench.alternatives.scale import FULL, QUICK, Scale
from tests.bench.compare.benchmarks.forwarding import Forwarding
from tests.bench.compare.report.results import Key, Results


@pytest.fixture
def results() -> Results:
    return Results({}, "python -m tests.bench alternatives", "2026-01-01", rounds=2)


def cell(results: Results, row: str, column: str) -> Cell:
    (found,) = (each for each in cells(results) if (each.row, each.column) == (row, column))
    return found


def test_a_cell_has_the_values_of_all_rounds(results: Results) -> None:
    key = Key("sockets", "sockets", (("sessions", 10_000),), "a port per session")
    results.add(key, 0, 10_000)
    results.add(key, 1, 10_001)
    found = cell(results, "UDP sockets, 10,000 sessions", "a port per session")
    assert (found.values, found.reason) == ((10_000, 10_001), None)
    assert found.dump()["values"] == [10_000, 10_001]


def test_figures_of_a_metric_are_told_apart_by_their_parameters(results: Results) -> None:
    for milliseconds, value in ((0, 40.0), (50, 280.0)):
        key = Key("call_setup", "first_audio_ms", (("round_trip_ms", milliseconds),), "direct")
        results.add(key, 0, value)
    assert cell(results, "ms until the first sound", "one service").values == (40.0,)
    far = "the same, where a round trip takes 50 ms more"
    assert cell(results, far, "one service").values == (280.0,)


def test_what_cannot_run_is_the_first_reason(results: Results) -> None:
    results.left_out["janus"] = "Janus is not installed: apt-get install janus"
    results.failures.append("coturn, call_setup: coturn ended")
    row = "ms until the first sound"
    assert cell(results, row, "SFU (Janus)").reason == results.left_out["janus"]
    assert cell(results, row, "TURN (coturn)").reason == "coturn, call_setup: coturn ended"
    assert cell(results, row, "Icelane, XDP").reason == "not measured in this run"


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_each_cell_is_measured_or_has_a_reason(results: Results, scale: Scale) -> None:
    measured = {
        ("cpu" if isinstance(each, Forwarding) else each.name, each.system.name)
        for group in scale.benchmarks()
        for each in group
    }
    titles = (row.title.format(calls="many", sessions="many", flows="many") for row in ROWS)
    for row, title in zip(ROWS, titles, strict=True):
        for column in COLUMNS:
            if not any((row.benchmark, system) in measured for system in column.systems):
                assert cell(results, title, column.title).reason != "not measured in this run"
