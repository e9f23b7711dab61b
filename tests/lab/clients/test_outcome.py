"""Outcomes in a few characters."""

import pytest

from tests.lab.clients.outcome import Outcome, Scenario, Verdict


@pytest.mark.parametrize(
    ("outcome", "cell"),
    [
        (Outcome("pion", "xdp", Scenario.CALL, Verdict.PASSED, setup_ms=1234.5), "1,234 ms"),
        (Outcome("pion", "xdp", Scenario.KILL, Verdict.PASSED, gap_ms=0.0), "0 ms"),
        (Outcome("pion", "xdp", Scenario.HANG_UP, Verdict.PASSED), "yes"),
        (Outcome("pion", "xdp", Scenario.KILL, Verdict.FAILED, "silence"), "failed"),
        (Outcome("pion", "xdp", Scenario.RESTART, Verdict.CANNOT, "it has none"), "-"),
    ],
)
def test_a_cell_is_the_figure_or_how_it_went(outcome: Outcome, cell: str) -> None:
    assert outcome.cell == cell
