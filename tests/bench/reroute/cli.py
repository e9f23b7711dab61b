"""``python -m tests.bench reroute``: how long packets go the old way after the network changes."""

import json
import statistics
from typing import TYPE_CHECKING, Annotated

import typer

from tests.bench.errors import BenchError

if TYPE_CHECKING:
    from tests.bench.reroute.reroute import Row


def reroute(
    *,
    times: Annotated[int, typer.Option(min=1, help="How often each change is made.")] = 5,
    change: Annotated[
        list[str] | None, typer.Option(help="Only this change; may be given several times.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """How long packets go the old way after the network changes, with an agent and without."""
    import os

    from rich.console import Console
    from rich.table import Table

    from tests.bench.reroute.reroute import run
    from tests.lab.reroutes import REROUTES

    if os.geteuid() != 0:
        raise BenchError("the benchmark makes network namespaces and loads BPF, which needs root")
    names = [each.name for each in REROUTES]
    if unknown := [name for name in change or () if name not in names]:
        raise BenchError(f"there is no change {unknown[0]!r}; there are: {', '.join(names)}")
    console = Console(stderr=True, highlight=False)
    chosen = [each for each in REROUTES if not change or each.name in change]
    rows = list(run(chosen, times, lambda step: console.print(f"[dim]{step}[/]")))
    if as_json:
        typer.echo(json.dumps({"times": times, "milliseconds": [_numbers(row) for row in rows]}))
        return
    table = Table(
        title=f"Old way used after a change, {times} times each, in ms", title_justify="left"
    )
    for number, row in enumerate(map(_numbers, rows)):
        if not number:
            for name in row:
                table.add_column(name, justify="right" if name in ("median", "most") else "left")
        table.add_row(*map(str, row.values()))
    Console(highlight=False).print(table)


def _numbers(row: "Row") -> dict[str, str | float]:
    found = [round(seconds * 1000, 1) for seconds in row.seconds]
    return {
        "change": row.change,
        "IP": f"IPv{row.version}",
        "agent": row.agent,
        "median": statistics.median(found),
        "most": max(found),
    }
