"""``python -m tests.bench loop``: for how long an agent with many flows serves nobody."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from tests.bench.errors import BenchError

if TYPE_CHECKING:
    from tests.bench.loop.loop import Phase


def loop(
    *,
    flows: Annotated[int, typer.Option(min=1, max=50_000, help="How many flows.")] = 50_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """For how long an agent with many flows serves nobody, whatever else it does."""
    import os

    from rich.console import Console
    from rich.table import Table

    from tests.bench.loop.loop import LoopBench

    if os.geteuid() != 0:
        raise BenchError("the benchmark makes network namespaces and loads BPF, which needs root")
    console = Console(stderr=True, highlight=False)
    with LoopBench.made(flows) as bench:
        phases = list(bench.phases(lambda step: console.print(f"[dim]{step}[/]")))
    rows = [_numbers(phase) for phase in phases]
    if as_json:
        typer.echo(json.dumps({"flows": flows, "phases": rows}))
        return
    table = Table(
        title=f"Turns of an agent's event loop with {flows:,} flows", title_justify="left"
    )
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "phase" else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(highlight=False).print(table)


def _numbers(phase: "Phase") -> dict[str, str | int | float]:
    return {
        "phase": phase.name,
        "seconds": round(phase.seconds, 1),
        "turns": sum(phase.turns.values()),
        "over 5 ms": phase.longer_than(5),
        "over 10 ms": phase.longer_than(10),
        "over 20 ms": phase.longer_than(20),
        "longest, ms": phase.longest,
    }
