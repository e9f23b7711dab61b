"""``python -m tests.bench agent``: what the offline agent's parts cost, and how well it hears."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table


def agent(
    *,
    rounds: Annotated[int, typer.Option(min=1, max=1_000, help="Rounds of each part.")] = 5,
    sentences: Annotated[
        int, typer.Option(min=1, help="Sentences that are recognised, of each kind at most.")
    ] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """What the offline agent's parts cost, how soon it is heard, and how well it understands."""
    from rich.console import Console

    from tests.bench.agent import measure

    console = Console(stderr=True, highlight=False)
    console.print("[dim]memory, costs, delays[/]")
    found: dict[str, list[Any]] = {
        "memory": list(measure.memory()),  # first: later it would find libraries loaded
        "costs": list(measure.costs(rounds)),
        "delays": list(measure.delays(rounds)),
    }
    console.print("[dim]understanding[/]")
    found["understanding"] = list(measure.understanding(sentences))
    if as_json:
        typer.echo(
            json.dumps({name: [asdict(row) for row in rows] for name, rows in found.items()})
        )
        return
    out = Console(highlight=False)
    titles = {
        "costs": "Milliseconds of processor time for a second of sound",
        "delays": "Milliseconds that somebody waits",
        "memory": "KiB",
        "understanding": "Shares: words wrong, sentences lost, others taken for some",
    }
    for name, title in titles.items():
        out.print(_table(title, [asdict(row) for row in found[name]]))


def _table(title: str, rows: list[dict[str, Any]]) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for index, name in enumerate(rows[0]):
        table.add_column(name.replace("_", " "), justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*map(_said, row.values()))
    return table


def _said(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
