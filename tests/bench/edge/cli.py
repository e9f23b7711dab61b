"""``python -m tests.bench edge``: what a stage more costs."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tests.bench.errors import BenchError

if TYPE_CHECKING:
    from tests.bench.edge.measure import Way


def edge(
    *,
    dataplane: Annotated[
        list[str] | None, typer.Option(help="xdp or userspace; may be given twice.")
    ] = None,
    packets: Annotated[int, typer.Option(min=10, help="How many on each way.")] = 5000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Round trips through a cluster's relay, and through an edge and that relay."""
    import os

    from rich.console import Console
    from rich.table import Table

    from tests.bench.edge.measure import run

    if os.geteuid() != 0:
        raise BenchError("the benchmark makes network namespaces and loads BPF, which needs root")
    console = Console(stderr=True, highlight=False)
    found = [
        way
        for each in dataplane or ["xdp", "userspace"]
        for way in run(each, packets, lambda step: console.print(f"[dim]{step}[/]"))
    ]
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found]))
        return
    table = Table(title="Round trips to the far end and back", title_justify="left")
    for name in ("dataplane", "through", "p50 (us)", "p99 (us)", "lost", "in the kernel"):
        table.add_column(name, justify="left" if name in ("dataplane", "through") else "right")
    for each in found:
        table.add_row(*_row(each))
    out = Console(highlight=False)
    out.print(table)
    for way in found[1::2]:
        out.print(f"{way.dataplane}: a stage more takes {way.more / 2:.1f} us each way.")


def _row(way: "Way") -> list[str]:
    return [
        way.dataplane,
        way.stages,
        f"{way.p50:.1f}",
        f"{way.p99:.1f}",
        f"{way.lost}",
        f"{way.kernel:.1%}",
    ]
