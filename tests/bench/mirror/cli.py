"""``python -m tests.bench mirror``: what a record of the mirror costs a relay and Redis."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tests.bench.errors import file_errors


def mirror(
    *,
    rounds: Annotated[int, typer.Option(min=1, help="How often all is measured.")] = 3,
    records: Annotated[
        int | None, typer.Option(min=2_000, max=10_000, help="How many, of a round.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where results go.", dir_okay=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Processor time of each request of a mirror, and what Redis keeps of a flow."""
    from rich.console import Console
    from rich.table import Table

    from tests.bench.compare.machine import describe
    from tests.bench.compare.report.results import Results
    from tests.bench.mirror.measure import MOST, Measurement, table

    results = Results(
        machine=describe(),
        command="python -m " + " ".join(["tests.bench", *sys.argv[1:]]),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        rounds=rounds,
    )
    measurement = Measurement(results, records or MOST)
    for number in range(rounds):
        measurement.run(number)
        if output is not None:
            with file_errors():
                output.write_text(results.dumps(), "utf-8")
    rows = table(results)
    if as_json:
        names = ("request", "relay_us", "redis_us")
        typer.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))
        return
    shown = Table("request", "relay", "redis", title="Microseconds of processor time of one")
    for name, *values in rows:
        shown.add_row(name, *("-" if each is None else f"{each:.1f}" for each in values))
    Console(highlight=False).print(shown)
