"""``python -m tests.bench cost``: what a packet costs in the XDP program, and what flows take."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tests.bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from tests.bench.cost.dataplane import Result


def cost(
    *,
    flows: Annotated[
        list[int] | None,
        typer.Option(min=2, max=1_000_000, help="How many flows; may be given several times."),
    ] = None,
    packets: Annotated[int, typer.Option(min=100, help="Packets of each kind.")] = 10_000,
    agent: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Flows of an agent; 0: no agent.")
    ] = 65_536,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """The cost of a packet in the XDP program, and what flows take in memory and time."""
    import os

    from rich.console import Console

    from tests.bench.cost.dataplane import Plan, run

    if os.geteuid() != 0:
        raise BenchError("the benchmark loads BPF programs, which needs root")
    console = Console(stderr=True, highlight=False)
    if any(number % 2 for number in flows or ()):
        raise BenchError("--flows must be even")
    plan = Plan(tuple(flows or Plan().flows), packets, agent)
    results = list(run(plan, lambda step: console.print(f"[dim]{step}[/]")))
    if as_json:
        typer.echo(json.dumps(_grouped(results)))
        return
    out = Console(highlight=False)
    for title, rows in _grouped(results).items():
        out.print(_table(title, rows))


def _grouped(results: "Sequence[Result]") -> dict[str, list[dict[str, Any]]]:
    """The results by kind: cost, memory, scan, agent."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault(type(result).__name__.lower(), []).append(asdict(result))
    return groups


_TITLES = {
    "cost": "Cost of a packet in nanoseconds above a program that does nothing, cold and warm",
    "memory": "Memory of full maps (flows4: IPv4; flows: those with IPv6)",
    "scan": "A look at all flows of both maps for expired ones",
    "agent": "An agent that has taken flows over",
}


def _table(title: str, rows: list[dict[str, Any]]) -> "Table":
    from rich.table import Table

    table = Table(title=_TITLES[title], title_justify="left", title_style="bold")
    for name in rows[0]:
        text = isinstance(rows[0][name], str)
        table.add_column(name.replace("_", " "), justify="left" if text else "right")
    for row in rows:
        table.add_row(*(_shown(name, value) for name, value in row.items()))
    return table


def _shown(name: str, value: object) -> str:
    if name in ("bytes", "resident_bytes") and isinstance(value, int):
        return f"{value / 1e6:,.1f} MB"
    if isinstance(value, float):
        return f"{value:,.3f}" if name.endswith("seconds") or name == "longest" else f"{value:.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
