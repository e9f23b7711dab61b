"""``python -m tests.bench restart``: an agent that takes over what the kernel forwards."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tests.bench.errors import BenchError

if TYPE_CHECKING:
    from tests.bench.restart.restart import Restart


def restart(
    *,
    flows: Annotated[
        list[int] | None,
        typer.Option(min=1, max=1_000_000, help="How many flows; may be given several times."),
    ] = None,
    times: Annotated[int, typer.Option(min=1, help="How many restarts with each.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to watch each agent.")] = 12.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """How long an agent takes to be ready with flows in the kernel, and to answer after that."""
    import os

    from rich.console import Console
    from rich.table import Table

    from tests.bench.restart.restart import run

    if os.geteuid() != 0:
        raise BenchError("the benchmark makes network namespaces and loads BPF, which needs root")
    console = Console(stderr=True, highlight=False)
    counts = flows or [40_000, 1_000_000]
    found = list(run(counts, times, seconds, lambda step: console.print(f"[dim]{step}[/]")))
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found]))
        return
    table = Table(title="Restarts of an agent", title_justify="left")
    for name in ("flows", "ready (s)", "memory (MB)", "longest answer (ms)", "median (ms)"):
        table.add_column(name, justify="right")
    for each in found:
        table.add_row(*_row(each))
    Console(highlight=False).print(table)


def _row(each: "Restart") -> list[str]:
    return [
        f"{each.flows:,}",
        f"{each.ready:.2f}",
        f"{each.resident / 1e6:.0f}",
        f"{each.stall * 1000:.0f}",
        f"{each.usual * 1000:.1f}",
    ]
