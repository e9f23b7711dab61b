"""``python -m tests.bench rolling``: every component is replaced under calls."""

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tests.bench.errors import BenchError

if TYPE_CHECKING:
    from tests.bench.rolling.rolling import Replaced


def rolling(
    *,
    dataplane: Annotated[
        list[str] | None,
        typer.Option(help="The relay's, xdp or userspace; may be given several times."),
    ] = None,
    calls: Annotated[int, typer.Option(min=1, max=60, help="How many calls go on.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """What calls bear when relay, signaling, Redis and transceiver are replaced, one by one."""
    from rich.console import Console

    from tests.bench.rolling.rolling import rolling as replace_all
    from tests.lab.errors import LabError

    if os.geteuid() != 0:
        raise BenchError("the lab is made of network namespaces, which needs root")
    console = Console(stderr=True, highlight=False)

    def say(step: str) -> None:
        console.print(step, style="dim", markup=False)

    found: dict[str, list[Replaced]] = {}
    try:
        for each in dataplane or ["xdp", "userspace"]:
            found[each] = list(replace_all(each, calls, say))
    except LabError as error:
        raise BenchError(str(error)) from None
    if as_json:
        data = [{"dataplane": each, **asdict(row)} for each, rows in found.items() for row in rows]
        typer.echo(json.dumps(data))
        return
    _print(found)


def _print(found: "dict[str, list[Replaced]]") -> None:
    from rich.console import Console
    from rich.table import Table

    for dataplane, rows in found.items():
        table = Table(title=f"Replaced under calls, {dataplane}", title_justify="left")
        for name in ("component", "how"):
            table.add_column(name)
        for name in ("calls", "dropped", "lost", "silence (ms)", "took (s)"):
            table.add_column(name, justify="right")
        for row in rows:
            counted = str(row.calls), str(row.dropped), str(row.lost)
            times = f"{1000 * row.silence:.0f}", f"{row.seconds:.1f}"
            table.add_row(row.component, row.how, *counted, *times)
        Console(highlight=False).print(table)
