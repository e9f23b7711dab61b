"""``python -m tests.bench leaks``: whether calls leave anything behind, however they end."""

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from tests.bench.leaks.measure import Result


def leaks(
    *,
    calls: Annotated[int, typer.Option(min=9, max=100_000, help="How many calls.")] = 1_000,
    at_a_time: Annotated[int, typer.Option(min=1, max=500, help="How many of them at once.")] = 50,
    seed: Annotated[int, typer.Option(help="Of what clients do.")] = 1,
    hurry: Annotated[
        bool, typer.Option("--hurry", help="End calls whose client is gone; do not wait for it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Whether calls leave anything behind, some of them abandoned at each step."""
    from rich.console import Console

    from tests.bench.leaks.measure import measure

    console = Console(stderr=True, highlight=False)
    result = asyncio.run(
        measure(calls, at_a_time, seed, lambda step: console.print(f"[dim]{step}[/]"), hurry=hurry)
    )
    if as_json:
        typer.echo(json.dumps(asdict(result)))
    else:
        out = Console(highlight=False)
        out.print(_usage(result))
        out.print(
            f"{calls} calls in {result.seconds:.1f} s; "
            f"the last one ended {result.until_empty:.1f} s later"
        )
        for how, count in result.done.items():
            out.print(f"{count:6} {how}")
        for what, count in result.failed.items():
            out.print(f"{count:6} failed: {what}")
        out.print(f"left behind: {result.left}; tracebacks: {result.tracebacks}")
    if any(result.left.values()) or result.tracebacks or result.failed:
        raise typer.Exit(1)


def _usage(result: "Result") -> "Table":
    from rich.table import Table

    table = Table(title="What the services have", title_justify="left")
    for name in ("service", "when", "descriptors", "threads", "tasks", "memory, MiB"):
        table.add_column(name, justify="left" if name in ("service", "when") else "right")
    for service, moments in result.usage.items():
        for when, usage in zip(("before", "with most calls", "after"), moments, strict=True):
            tasks = "" if usage.tasks is None else str(usage.tasks)
            numbers = (str(usage.descriptors), str(usage.threads), tasks)
            table.add_row(service, when, *numbers, f"{usage.resident / 1024:.1f}")
    return table
