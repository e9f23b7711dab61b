"""``python -m tests.bench setup``: the set-up of a call on a slow link, step by step."""

import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from tests.bench.errors import BenchError

if TYPE_CHECKING:
    from rich.table import Table

    from tests.bench.setup.measure import Row


def setup(
    *,
    client: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be given several times.")
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="Only this one: stock, dcid, SNAP, SPED or both. aiortc has two."),
    ] = None,
    dataplane: Annotated[
        str, typer.Option(help="The relay's: xdp or userspace; none: without a relay.")
    ] = "xdp",
    round_trip: Annotated[
        float, typer.Option(min=0, max=1000, help="What a round trip takes, in ms.")
    ] = 100.0,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Calls of each kind.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """How long each step of a call's set-up takes on a slow link, in ms and round trips.

    Each step counts from when the client's offer is posted, on a connection to signaling that is
    there already. Stock clients open their channel of events by a message, all others by `?dcid=`.
    """
    from rich.console import Console

    from tests.bench.setup.measure import measure

    if os.geteuid() != 0:
        raise BenchError("the clients call in network namespaces, which needs root")
    console = Console(stderr=True, highlight=False)
    rows = list(
        measure(
            client,
            variant,
            dataplane=dataplane,
            round_trip=round_trip / 1000,
            rounds=rounds,
            progress=lambda step: console.print(step, style="dim", markup=False),
        )
    )
    if as_json:
        data = {"round_trip_ms": round_trip, "rounds": rounds, "dataplane": dataplane}
        typer.echo(json.dumps(data | {"rows": [row.dump(round_trip) for row in rows]}))
        return
    Console(highlight=False).print(_table(rows, round_trip))


def _table(rows: "list[Row]", round_trip: float) -> "Table":
    from rich.table import Table

    from tests.bench.setup.measure import STEPS

    table = Table(
        title=f"Medians in ms from the POST, and round trips of {round_trip:.0f} ms",
        title_justify="left",
    )
    table.add_column("client")
    for step in STEPS:
        table.add_column(step, justify="right")
    for row in rows:
        cells = []
        for step in STEPS:
            median = row.median(step)
            trips = f" ({median / round_trip:.1f})" if median is not None and round_trip else ""
            cells.append("-" if median is None else f"{median:.0f}{trips}")
        table.add_row(f"{row.client}, {row.variant}", *cells)
    return table
