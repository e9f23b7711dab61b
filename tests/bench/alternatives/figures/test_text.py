"""The table as text."""

from tests.bench.alternatives.figures.layout import Cell
from tests.bench.alternatives.figures.text import figure, numbered_reasons, section
from tests.bench.compare.report.results import Key, Results


def test_a_figure_is_the_median_with_its_spread() -> None:
    assert figure(Cell("row", "a", (3.0, 1.0, 2.0), None), 1, {}) == "2.0 (1.0 to 3.0)"
    assert figure(Cell("row", "a", (1200.0, 1200.0), None), 0, {}) == "1,200"


def test_an_empty_cell_has_the_number_of_its_reason() -> None:
    found = [Cell("one", "a", (), "why"), Cell("two", "a", (), "why"), Cell("two", "b", (), "so")]
    numbers = numbered_reasons(found)
    assert numbers == {"why": 1, "so": 2}
    assert figure(found[2], 0, numbers) == "(2)"


def test_the_section_has_all_figures_and_reasons() -> None:
    results = Results(
        {"cores": "2", "processor": "fast", "kernel": "6.1", "janus": "1.1.2-1"},
        "python -m tests.bench alternatives",
        "2026-01-01",
        rounds=1,
    )
    results.add(Key("call_setup", "round_trips", (), "coturn"), 0, 7.44)
    results.left_out["janus"] = "Janus is not installed"
    text = section(results)
    assert "| round trips until the first sound | (1) | (1) | 7.4 | " in text
    assert ". Janus is not installed\n" in text
    assert "```sh\npython -m tests.bench alternatives\n```" in text
    assert "janus 1.1.2-1" in text
