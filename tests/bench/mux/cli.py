"""``python -m tests.bench mux``: what the socket of all sessions costs for a datagram."""

import json
from dataclasses import asdict
from typing import Annotated

import typer


def mux(
    *,
    datagrams: Annotated[int, typer.Option(min=64, help="Datagrams of a round.")] = 6_400,
    rounds: Annotated[int, typer.Option(min=1, max=1_000, help="Rounds of all ways.")] = 9,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """What a datagram costs the transceiver's socket, one by one and in batches."""
    from rich.console import Console
    from rich.table import Table

    from tests.bench.mux.measure import measure

    results = measure(datagrams, rounds)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in results]))
        return
    table = Table(title="Microseconds of processor time for a datagram", title_justify="left")
    for name in ("", "way", "at once", "median", "least"):
        table.add_column(name, justify="left" if name in ("", "way") else "right")
    for each in results:
        figures = (f"{each.median:.2f}", f"{each.least:.2f}")
        table.add_row(each.direction, each.way, str(each.at_once), *figures)
    Console(highlight=False).print(table)
