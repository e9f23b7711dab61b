"""Tables of outcomes."""

from tests.bench.clients.text import document, table, with_tables
from tests.lab.clients.outcome import Outcome, Scenario, Verdict

OUTCOMES = [
    Outcome("aiortc", "xdp", Scenario.CALL, Verdict.PASSED, setup_ms=412.3),
    Outcome("aiortc", "xdp", Scenario.RESTART, Verdict.CANNOT, "it has none"),
    Outcome("aiortc", "xdp", Scenario.KILL, Verdict.PASSED, gap_ms=0.0),
    Outcome("aiortc", "xdp", Scenario.HANG_UP, Verdict.PASSED),
    Outcome("pion", "xdp", Scenario.CALL, Verdict.FAILED, "no answer"),
]
VERSIONS = {"aiortc": "1.16.0"}


def test_a_document_gets_the_rows_and_the_reasons() -> None:
    text = "before\n<!-- tables: begin -->\nold\n<!-- tables: end -->\nafter\n"
    renewed = with_tables(text, OUTCOMES, VERSIONS)
    assert "| aiortc 1.16.0 |  | 412 ms |  | 0 ms |  | - |  | yes |" in renewed
    assert "| pion |  | failed |" in renewed
    assert "* aiortc, ICE restart: it has none" in renewed
    assert "* pion, call: no answer" in renewed
    assert "old" not in renewed
    assert renewed.startswith("before\n")
    assert renewed.endswith("\nafter\n")
    assert with_tables(renewed, OUTCOMES, VERSIONS) == renewed


def test_the_table_has_a_row_for_each_client() -> None:
    assert table(OUTCOMES, "xdp", VERSIONS).row_count == 2
    assert table(OUTCOMES, "userspace", VERSIONS).row_count == 0


def test_plain_data_has_everything() -> None:
    data = document(OUTCOMES, VERSIONS)
    assert data["versions"] == VERSIONS
    assert data["outcomes"][0]["setup_ms"] == 412.3
    assert data["outcomes"][4]["note"] == "no answer"
