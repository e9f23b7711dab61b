"""What the report says of calls."""

import pytest

from tests.bench.density.measure import Result as Carried
from tests.bench.errors import BenchError
from tests.bench.loss.measure import NETEQ, OURS
from tests.bench.loss.measure import Result as Heard
from tests.bench.voice.figures import Figures
from tests.bench.voice.text import sections

FIGURES = Figures(
    command="python -m tests.bench voice",
    machine={"cores": "2", "processor": "A Processor", "kernel": "6.18"},
    carried=[Carried(120, 0.05, 0.91, 75.4, 2.5, 9.1, 3, 310.2, 0.987)],
    heard=[
        Heard("10 % 0 ms", OURS, 0.031, 0.02, 0.06, None, 4.1, 88.2),
        Heard("0 % 0 ms (100 ms for 3 s)", OURS, 0.0, 0.0, 0.06, 1.26, None, 80.0),
        Heard("10 % 0 ms", NETEQ, 0.05, 0.03, 0.09, None, 4.0, None),
    ],
    began=[
        {
            "client": "chromium",
            "variant": "SNAP",
            "steps": {"POST": {"median_ms": 104.4, "round_trips": 1.04}},
        }
    ],
    round_trip_ms=100.0,
)


def test_each_figure_is_in_a_table() -> None:
    said = sections(FIGURES)
    for row in (
        "| echo calls of a core, with FEC and 5 % lost | at least 70 | 120 | met |",
        "| ms of silence, 10 % 0 ms | at most 40 | 20 | met |",
        "| 120 | 5% | 91% | 75 | 2.5 ms | 9.1 ms | 3 | 310 | 98.7% |",
        "| 10 % 0 ms | Icelane | 3.1 % | 20 ms | 60 ms |  | 4.10 | 88 |",
        "| 0 % 0 ms (100 ms for 3 s) | Icelane | 0.0 % | 0 ms | 60 ms | 1.3 s |  | 80 |",
        "| chromium, SNAP | 104 (1.0) | - | - | - | - |",
    ):
        assert f"\n{row}\n" in said
    # Both playouts of a network stand together.
    assert said.index(f"10 % 0 ms | {NETEQ}") < said.index("| 0 % 0 ms (100 ms")
    assert "2 cores of A Processor with Linux 6.18" in said


def test_figures_come_back_from_their_file() -> None:
    again = Figures.loads(FIGURES.dumps())
    assert again == FIGURES


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"command": "", "carried": [1]}'])
def test_another_file_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match=r"not what `python -m tests[.]bench voice` writes"):
        Figures.loads(text)
