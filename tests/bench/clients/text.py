"""Outcomes as a table, as JSON and as a part of a document. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from tests.bench.document import renewed
from tests.lab.clients.outcome import Outcome, Scenario, Verdict


def document(outcomes: Sequence[Outcome], versions: Mapping[str, str]) -> dict[str, Any]:
    """The outcomes as plain data."""
    return {"versions": dict(versions), "outcomes": [each.dump() for each in outcomes]}


def table(outcomes: Sequence[Outcome], dataplane: str, versions: Mapping[str, str]) -> Table:
    """The table of one dataplane."""
    made = Table(title=f"Clients over {dataplane}", title_justify="left")
    made.add_column("client")
    for scenario in Scenario:
        made.add_column(scenario.value, justify="right")
    for client, cells in _rows(outcomes, dataplane):
        made.add_row(f"{client} {versions.get(client, '')}".strip(), *cells)
    return made


def with_tables(text: str, outcomes: Sequence[Outcome], versions: Mapping[str, str]) -> str:
    """A document with its tables renewed.

    Raises:
        BenchError: It has no place for them.
    """
    return renewed(text, "\n".join(_markdown(outcomes, versions)))


def _markdown(outcomes: Sequence[Outcome], versions: Mapping[str, str]) -> Iterator[str]:
    headings = [scenario.value for scenario in Scenario]
    for dataplane in dict.fromkeys(each.dataplane for each in outcomes):
        yield f"\n| over {dataplane} | {' | '.join(headings)} |"
        yield "| --- " + "| ---: " * len(headings) + "|"
        for client, cells in _rows(outcomes, dataplane):
            name = f"{client} {versions.get(client, '')}".strip()
            yield f"| {name} | {' | '.join(cells)} |"
    notes = {
        f"* {each.client}, {each.scenario.value}: {each.note}"
        for each in outcomes
        if each.verdict is not Verdict.PASSED or (each.note and each.scenario is Scenario.RESTART)
    }
    yield ""
    yield from sorted(notes)
    yield ""


def _rows(outcomes: Sequence[Outcome], dataplane: str) -> Iterator[tuple[str, list[str]]]:
    cells = {
        (each.client, each.scenario): each.cell for each in outcomes if each.dataplane == dataplane
    }
    for client in dict.fromkeys(client for client, _ in cells):
        yield client, [cells.get((client, scenario), "") for scenario in Scenario]
