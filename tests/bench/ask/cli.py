"""``python -m tests.bench ask``: whose is a client that has moved here?"""

import asyncio
import json
from typing import Annotated

import typer


def ask(
    *,
    transceivers: Annotated[
        list[int] | None, typer.Option("--transceivers", help="So many; may be repeated.")
    ] = None,
    clients: Annotated[int, typer.Option(min=1, help="How many move.")] = 200,
    at_once: Annotated[
        list[int] | None, typer.Option(help="How many move together; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Time until a client is heard that came from another relay: by transceivers, or by Redis."""
    from rich.console import Console
    from rich.table import Table

    from tests.bench.ask.measure import ASKED, REDIS, measure

    found = [
        asyncio.run(measure(source, count, together, clients))
        for count in transceivers or (10, 200)
        for together in at_once or (1, 100)
        for source in (ASKED, REDIS)
    ]
    if as_json:
        typer.echo(json.dumps([each.as_json() for each in found]))
        return
    head = ("told by", "of", "at once", "heard", "p50", "p99", "most", "relay", "transceiver")
    shown = Table(*head, title="Milliseconds, and microseconds of processor time of a client")
    for each in found:
        heard = f"{each.heard} of {each.clients}"
        times = (f"{one:.1f}" for one in (each.p50, each.p99, each.most))
        costs = (f"{one:.0f}" for one in (each.relay_us, each.transceiver_us))
        shown.add_row(
            *(each.source, str(each.transceivers), str(each.at_once), heard), *times, *costs
        )
    Console(highlight=False).print(shown)
