"""What a report says of turns, and what the project's own page says."""

from pathlib import Path

import pytest

from tests.bench.errors import BenchError
from tests.bench.turn.figures import Figure, Figures
from tests.bench.turn.text import page, sections

DOCS = Path(__file__).parents[3] / "docs"
FIGURES = Figures(
    command="python -m tests.bench turn",
    machine={"cores": "2", "processor": "A Processor", "kernel": "6.18"},
    load=0.04,
    turns=[
        Figure("said", "xdp", 50, 10.04, 19.0, 30.0, 40.0),
        Figure("answered", "xdp", 50, 610.0, 700.0, 800.0),
        Figure("said", "userspace", 50, 11.0, 20.0, 31.0, 40.0),
    ],
    began=[
        {
            "dataplane": "none",
            "calls": 15,
            "client": "libwebrtc",
            "variant": "stock",
            "steps": {"POST": {"median_ms": 4.26}},
        }
    ],
)


def test_each_figure_is_in_a_table() -> None:
    said = sections(FIGURES)
    rows = (
        "| said | xdp | 50 | 10.0 | 19.0 | 30.0 | 40 |\n"
        "| said | userspace | 50 | 11.0 | 20.0 | 31.0 | 40 |\n"
        "| answered | xdp | 50 | 610.0 | 700.0 | 800.0 |  |\n"
    )
    assert rows in said
    assert "| libwebrtc | without | 4.3 | - | - | - | - |\n" in said
    assert "2 cores of A Processor with Linux 6.18" in said
    assert "medians of 15 calls" in said
    assert "0.0 other processes wanted to run" in said


def test_a_figure_is_made_of_seconds() -> None:
    made = Figure.of("said", "xdp", [0.01, 0.02, 0.03], 40.0)
    assert made == Figure("said", "xdp", 3, 20.0, 29.0, 30.0, 40.0)


def test_figures_come_back_from_their_file() -> None:
    assert Figures.loads(FIGURES.dumps()) == FIGURES


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"command": "", "turns": [1]}'])
def test_another_file_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match=r"not what `python -m tests[.]bench turn` writes"):
        Figures.loads(text)


def test_the_projects_page_is_made_of_its_figures() -> None:
    figures = Figures.loads((DOCS / "turns.json").read_text("utf-8"))
    assert (DOCS / "turns.md").read_text("utf-8") == page(figures)
