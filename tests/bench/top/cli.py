"""``python -m tests.bench top``: what `icelane top` costs beside many flows."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from tests.bench.errors import BenchError


def top(
    *,
    flows: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many flows.")] = 100_000,
    seconds: Annotated[float, typer.Option(min=0.1, help="For how long to watch.")] = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """What a live viewer costs, itself and its agent, and how soon it reacts to a key."""
    import os

    from rich.console import Console

    from tests.bench.top.measure import watch

    if os.geteuid() != 0:
        raise BenchError("the benchmark makes network namespaces and loads BPF, which needs root")
    console = Console(stderr=True, highlight=False)
    found = watch(flows, seconds, lambda step: console.print(f"[dim]{step}[/]"))
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    typer.echo(
        f"{found.flows:,} flows: the viewer takes {100 * found.viewer:.1f} % of a processor, "
        f"its agent {100 * found.agent:.1f} % more than without; a key shows after "
        f"{1000 * found.median:.0f} ms (median), {1000 * found.slowest:.0f} ms at most"
    )
