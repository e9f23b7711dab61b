"""``python -m tests.bench flood``: calls that go on, and begin, while strangers flood the relay."""

import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from tests.bench.errors import BenchError

if TYPE_CHECKING:
    from rich.table import Table

    from tests.bench.flood.measure import Row


def flood(
    *,
    system: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be given several times.")
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only floods of this kind; likewise.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=1, help="Packets a second, in place of all that a core can send."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each flood lasts.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """What strangers who flood a relay do to 20 calls that go on, and to calls that begin.

    Ten calls begin a second. Quiet comes first, then each kind of flood by itself.
    """
    from rich.console import Console

    from tests.bench.flood.frames import KINDS
    from tests.bench.flood.measure import SYSTEMS, Load, measure

    if os.geteuid() != 0:
        raise BenchError("a relay is flooded in network namespaces, which needs root")
    _require(system, [each.name for each in SYSTEMS], "system")
    _require(kind, KINDS, "kind")
    console = Console(stderr=True, highlight=False)
    rows: list[Row] = []
    for each in SYSTEMS:
        if system and each.name not in system:
            continue
        if reason := each.missing():
            console.print(f"{each.name} is left out: {reason}", markup=False)
            continue
        load = Load(kind or KINDS, seconds, rate)
        rows += measure(each, load, lambda step: console.print(step, style="dim", markup=False))
    if as_json:
        data = {"seconds": seconds, "rate": rate, "rows": [row.dump() for row in rows]}
        typer.echo(json.dumps(data))
        return
    Console(highlight=False, width=200).print(_table(rows))


def _require(wanted: list[str] | None, known: "list[str] | tuple[str, ...]", what: str) -> None:
    for each in wanted or ():
        if each not in known:
            raise BenchError(f"there is no {what} {each!r}: choose of {', '.join(known)}")


def _table(rows: "list[Row]") -> "Table":
    from rich.table import Table

    table = Table(title="20 calls, and 10 more a second", title_justify="left")
    for name in ("system", "flood"):
        table.add_column(name)
    for name in (
        *("strangers' packets/s", "lost on link", "media", "lost", "calls", "failed"),
        *("p50 ms", "p99 ms", "CPU", "MB", "pending"),
    ):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            *(row.system, row.flood, f"{row.per_second:,.0f}", f"{row.link_lost:.2f} %"),
            *(f"{row.media:,}", f"{row.lost:,}", str(row.begun), str(row.failed)),
            *("-" if each is None else f"{each:.1f}" for each in (row.p50_ms, row.p99_ms)),
            *(f"{row.cpu_percent:.0f} %", f"{row.megabytes:.0f}"),
            "-" if row.pending is None else str(row.pending),
        )
    return table
