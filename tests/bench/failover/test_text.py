"""Figures, and what a page says of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.document import renewed
from tests.bench.errors import BenchError
from tests.bench.failover.figures import ALL, ITS, MOVED, OTHERS, Figures, Record, figures_of
from tests.bench.failover.gaps import Gap, Way
from tests.bench.failover.measure import NOTHING, Measured
from tests.bench.failover.plan import CALLS
from tests.bench.failover.text import tables

DOCS = Path(__file__).parents[3] / "docs"


def gap(before: str, after: str, silence: float, lost: int) -> Gap:
    return Gap(before, after, Way(silence, lost), Way(0.02, 0))


MEASURED = Measured("xdp", True, CALLS, "machine dies", 2, [0.03, 0.05])
MEASURED.gaps = [
    ("a", gap("a", "b", 0.04, 1)),
    ("a", gap("b", "c", 0.02, 0)),
    ("a", gap("c", "c", 0.02, 0)),
    ("b", gap("b", "c", 0.06, 2)),
]
FIGURES = Figures(
    "python -m tests.bench failover",
    {"cores": "2", "processor": "A Processor", "kernel": "6.18"},
    0.5,
    {CALLS: 20.0},
    figures_of(MEASURED),
)


def test_flows_are_told_apart_by_what_they_have_to_do_with_the_relay() -> None:
    its, moved, others = FIGURES.figures
    assert (its.whose, its.count, its.lost, its.flows_with_loss) == (ITS, 2, 3, 2)
    assert its.silence == (40.0, 60.0, 60.0)
    assert (moved.whose, others.whose) == (MOVED, OTHERS)
    (calm,) = figures_of(replace(MEASURED, what=NOTHING))
    assert (calm.whose, calm.count) == (ALL, 4)


def test_a_file_is_read_as_it_was_written() -> None:
    assert Record.loads(Record([FIGURES]).dumps()) == Record([FIGURES])
    with pytest.raises(BenchError, match="this is not what"):
        Record.loads(json.dumps({"runs": [{}]}))


def test_what_is_measured_again_replaces_its_like_and_nothing_else() -> None:
    other = [replace(each, dataplane="userspace") for each in FIGURES.figures]
    first = replace(FIGURES, command="first", figures=[*FIGURES.figures, *other])
    second = replace(FIGURES, command="second", figures=other)
    record = Record().renewed(first).renewed(second)
    assert record.runs == [replace(first, figures=FIGURES.figures), second]
    assert record.renewed(replace(first, command="third")).runs == [replace(first, command="third")]
    told = tables(record)
    assert told.index("`first`") < told.index("xdp") < told.index("`second`")
    assert told.count("### Real calls, userspace, with a mirror\n") == 1


def test_each_figure_is_in_a_table() -> None:
    told = tables(Record([FIGURES]))
    assert "### Real calls, xdp, with a mirror\n\nA packet each 20 ms each way." in told
    assert "| machine dies | its own | 2 | 30 | 2 | 40 | 60 | 60 | 3 | 2 |\n" in told


def test_relays_with_and_without_a_mirror_have_tables_of_their_own() -> None:
    other = [replace(each, mirror=False) for each in FIGURES.figures]
    told = tables(Record([replace(FIGURES, figures=[*FIGURES.figures, *other])]))
    assert told.count("### ") == 2
    assert "### Real calls, xdp, no mirror\n" in told


def test_the_projects_page_shows_the_projects_figures() -> None:
    page = (DOCS / "failover.md").read_text("utf-8")
    record = Record.loads((DOCS / "failover.json").read_text("utf-8"))
    assert renewed(page, tables(record)) == page
