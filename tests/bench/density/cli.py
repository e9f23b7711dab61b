"""``python -m tests.bench density``: how many calls one core of a transceiver carries."""

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from tests.bench.density.measure import Result

_CALLS = [20, 60, 120, 160, 200]


def density(
    *,
    calls: Annotated[
        list[int] | None, typer.Option(min=1, max=2_000, help="How many calls; may be repeated.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="How long each is measured.")] = 10,
    loss: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of packets that clients lose and report.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of what clients lose.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """How many echo calls one core carries, decoded and encoded, and how late their frames are."""
    from rich.console import Console

    from tests.bench.density.measure import measure

    console = Console(stderr=True, highlight=False)
    results = asyncio.run(
        measure(calls or _CALLS, seconds, loss, seed, lambda step: console.print(f"[dim]{step}[/]"))
    )
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in results]))
    else:
        Console(highlight=False).print(_table(results))


def _table(results: "Sequence[Result]") -> "Table":
    from rich.table import Table

    table = Table(title="Echo calls on one core", title_justify="left")
    for name in (
        *("calls", "lost", "core", "us a frame", "late, p99", "latest", "skipped"),
        *("KiB a call", "echoed"),
    ):
        table.add_column(name, justify="right")
    for each in results:
        table.add_row(
            str(each.calls),
            f"{each.loss:.0%}",
            f"{each.cpu:.0%}",
            f"{each.frame:.0f}",
            f"{each.late_p99:.1f} ms",
            f"{each.late_most:.1f} ms",
            str(each.skipped),
            f"{each.memory:.0f}",
            f"{each.echoed:.1%}",
        )
    return table
