"""``python -m tests.bench clients``, `make clients`: which client comes through what."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tests.bench.errors import BenchError, file_errors

_WIDTH = 180  # characters, where there is no terminal that has one


def clients(
    *,
    client: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be given several times.")
    ] = None,
    dataplane: Annotated[
        list[str] | None, typer.Option(help="Only this one: xdp or userspace.")
    ] = None,
    together: Annotated[
        bool, typer.Option("--together", help="All clients at once instead of one by one.")
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(help="Renew the table in this document, docs/clients.md.", dir_okay=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Put real WebRTC clients through calls with failures, and tell which come through."""
    from rich.console import Console

    from tests.bench.clients.run import DATAPLANES, measure, select
    from tests.bench.clients.text import document, table, with_tables
    from tests.lab.clients.outcome import Verdict

    if os.geteuid() != 0:
        raise BenchError("the clients call in network namespaces, which needs root")
    console = Console(stderr=True, highlight=False)
    kinds = select(client)
    outcomes = measure(
        kinds,
        dataplane or DATAPLANES,
        lambda step: console.print(step, style="dim", markup=False),
        together=together,
    )
    versions = {kind.name: kind.version() for kind in kinds if kind.missing() is None}
    if as_json:
        typer.echo(json.dumps(document(outcomes, versions)))
    else:
        out = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
        for name in dict.fromkeys(each.dataplane for each in outcomes):
            out.print(table(outcomes, name, versions))
        for each in outcomes:
            if each.note:
                where = f"{each.client}, {each.dataplane}, {each.scenario.value}"
                out.print(f"{where}: {each.note}", markup=False)
    if write is not None:
        with file_errors():
            write.write_text(with_tables(write.read_text("utf-8"), outcomes, versions), "utf-8")
    if any(each.verdict is Verdict.FAILED for each in outcomes):
        raise typer.Exit(1)
