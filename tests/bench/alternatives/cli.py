"""``python -m tests.bench alternatives``: Icelane beside the designs that it was not given."""

import json
import os
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tests.bench.errors import BenchError, file_errors

_WIDTH = 200  # characters, where there is no terminal that has one


def alternatives(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Three minutes instead of sixteen; rough figures.")
    ] = False,
    rounds: Annotated[
        int | None, typer.Option(min=1, max=100, help="How often everything is measured.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Where the results go, for the report.", dir_okay=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """TURN, a port per session, an SFU and one service: what each costs beside Icelane."""
    from rich.console import Console

    from tests.bench.alternatives.figures.layout import cells
    from tests.bench.alternatives.figures.text import numbered_reasons, table
    from tests.bench.alternatives.scale import FULL, QUICK
    from tests.bench.compare import machine
    from tests.bench.compare.cli import command_line, stopped_by_signal
    from tests.bench.compare.report.results import Results
    from tests.bench.compare.run import run

    if os.geteuid() != 0:
        raise BenchError("the benchmark makes network namespaces and loads BPF, which needs root")
    console = Console(stderr=True, highlight=False)
    scale = QUICK if quick else FULL
    results = Results(
        machine=machine.describe(),
        command=command_line(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        rounds=rounds or scale.rounds,
    )
    progress = partial(console.print, style="dim", markup=False)
    with stopped_by_signal(console) as stopped:
        for _ in run(scale.benchmarks(), results, progress, stopped.is_set):
            if output is not None:
                with file_errors():
                    output.write_text(results.dumps(), "utf-8")
    if stopped.is_set():
        results.failures.append("the run was interrupted")
    found = list(cells(results))
    if as_json:
        document = {"rounds": results.rounds, "machine": results.machine}
        typer.echo(json.dumps(document | {"cells": [each.dump() for each in found]}))
    else:
        out = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
        out.print(table(results))
        for reason, number in numbered_reasons(found).items():
            out.print(f"({number}) {reason}", markup=False)
    for failure in results.failures:
        console.print(f"failed: {failure}", markup=False)
    if results.failures:
        raise typer.Exit(1)
