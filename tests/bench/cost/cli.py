"""``python -m tests.bench cost``: what a packet costs in the XDP program, and what flows take."""

import json
import sys
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tests.bench.errors import BenchError, file_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from tests.bench.cost.aims import Aim
    from tests.bench.cost.dataplane import Plan, Result


def cost(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Less than a minute instead of ten; rough figures.")
    ] = False,
    flows: Annotated[
        list[int] | None,
        typer.Option(min=1, max=1_000_000, help="How many flows; may be given several times."),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, max=100, help="How often a packet's cost is measured.")
    ] = None,
    agent: Annotated[bool, typer.Option(help="Whether an agent takes the flows over, too.")] = True,
    live: Annotated[
        bool, typer.Option(help="Whether live packets are sent, beside constant NAT.")
    ] = True,
    write: Annotated[
        Path | None,
        typer.Option(
            help="Renew the tables in this document, docs/dataplane-figures.md.", dir_okay=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """What a packet costs in the XDP program and what flows take, beside the aims."""
    import os
    import time

    from rich.console import Console

    from tests.bench.cost.aims import aims
    from tests.bench.cost.dataplane import run
    from tests.bench.document import renewed

    if os.geteuid() != 0:
        raise BenchError("the benchmark loads BPF programs, which needs root")
    if write is not None:
        with file_errors():
            renewed(write.read_text("utf-8"), "")  # is there a place for them?
    console = Console(stderr=True, highlight=False)
    plan = _plan(quick=quick, flows=flows, repeats=repeats, agent=agent, live=live)
    start, busy = time.monotonic(), os.getloadavg()[0]
    results: list[Result] = []
    try:
        results.extend(run(plan, lambda step: console.print(f"[dim]{step}[/]")))
    finally:  # ten minutes of measuring are not lost by what comes after them
        judged = aims(results)
        if results:
            typer.echo(_as_json(results, judged) if as_json else _shown_tables(results, judged))
    if write is not None:
        circumstances = _circumstances(time.monotonic() - start, busy)
        tables = f"{circumstances}\n\n```text\n{_shown_tables(results, judged)}\n```"
        with file_errors():
            write.write_text(renewed(write.read_text("utf-8"), tables), "utf-8")


def _as_json(results: "Sequence[Result]", judged: "Sequence[Aim]") -> str:
    return json.dumps(_grouped(results) | {"aims": [asdict(each) for each in judged]})


def _circumstances(seconds: float, busy: float) -> str:
    """A sentence about where and when figures were measured; `busy` is the load average before."""
    from tests.bench.compare.machine import describe

    machine = describe()
    kernel = ".".join(machine["kernel"].split(".")[:2])
    kind = "virtual machine" if machine["hypervisor"] == "yes" else "machine"
    return (
        f"`python -m tests.bench {' '.join(sys.argv[1:])}` printed this on a {kind} with "
        f"{machine['cores']} processors ({machine['processor']}, Linux {kernel}, native XDP on "
        f"veth), in {seconds / 60:.0f} minutes. {busy:.0f} other processes wanted a processor when "
        "it began."
    )


def _shown_tables(results: "Sequence[Result]", judged: "Sequence[Aim]") -> str:
    from rich.console import Console

    text = StringIO()
    out = Console(highlight=False, width=_WIDTH, file=text)
    for title, rows in _grouped(results).items():
        out.print(_table(title, rows))
    out.print(_aims(judged))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _plan(
    *, quick: bool, flows: list[int] | None, repeats: int | None, agent: bool, live: bool
) -> "Plan":
    from tests.bench.cost.dataplane import FULL, QUICK

    plan = QUICK if quick else FULL
    return replace(
        plan,
        flows=tuple(flows or plan.flows),
        effort=replace(plan.effort, repeats=repeats or plan.effort.repeats),
        live=plan.live if live else None,
        agent=agent,
    )


def _grouped(results: "Sequence[Result]") -> dict[str, list[dict[str, Any]]]:
    """The results by kind: filling, cost, memory, scan, reading, agent, live."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault(type(result).__name__.lower(), []).append(asdict(result))
    return groups


_WIDTH = 110  # of the widest table

_TITLES = {
    "filling": "Adding flows one by one",
    "cost": "Nanoseconds of a packet above a program that does nothing, warm and cold",
    "memory": "Memory of a relay that is full, and its large maps",
    "scan": "A look at all flows for expired ones, in seconds",
    "reading": "Reading flows with their counters, in seconds",
    "agent": "An agent that has taken flows over",
    "live": "Live packets: Icelane, constant NAT, and the ratio",
}


def _table(title: str, rows: list[dict[str, Any]]) -> "Table":
    from rich.table import Table

    table = Table(title=_TITLES[title], title_justify="left", title_style="bold")
    shown = [dict(_spreads(title, row)) for row in rows]
    for name in shown[0]:
        text = isinstance(rows[0].get(name), str)
        table.add_column(name, justify="left" if text else "right", no_wrap=True)
    for row in shown:
        table.add_row(*row.values())
    return table


def _spreads(title: str, row: dict[str, Any]) -> "Iterator[tuple[str, str]]":
    """A row's headings and cells, in which a median has its spread beside it."""
    for name, value in row.items():
        if name.endswith("median"):
            start = name.removesuffix("median")
            least, most = (_shown(title, name, row[start + end]) for end in ("min", "max"))
            heading = "cold" if start else "warm" if title == "cost" else "median"
            yield f"{heading} (min to max)", f"{_shown(title, name, value)} ({least} to {most})"
        elif not name.endswith(("min", "max")):
            yield name.replace("_", " "), _shown(title, name, value)


def _shown(title: str, name: str, value: object) -> str:
    if name in {"bytes", "resident_bytes"} and isinstance(value, int):
        return f"{value / 1e6:,.1f} MB"
    if isinstance(value, float):
        ratio = title == "live" and name == "median"
        seconds = name.endswith("seconds") or title in {"scan", "reading"}
        return f"{value:,.{3 if seconds else 2 if ratio else 0}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _aims(judged: "Sequence[Aim]") -> "Table":
    from rich.table import Table

    table = Table(title="Against the aims", title_justify="left", title_style="bold")
    for name in ("figure", "aim", "is", "median (min to max)", ""):
        table.add_column(name, justify="left" if name in {"figure", ""} else "right", no_wrap=True)
    for each in judged:
        bound = f"{'≥' if each.at_least else '≤'} {each.bound:g}"
        value, least, median, most = (
            f"{figure:,.{each.digits}f}" for figure in (each.value, each.min, each.median, each.max)
        )
        spread = f"{median} ({least} to {most})"
        table.add_row(each.figure, bound, value, spread, "met" if each.met else "missed")
    return table
