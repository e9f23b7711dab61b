"""``python -m tests.bench voice``: density, loss and set-up of calls, kept for the report."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tests.bench.errors import BenchError, file_errors

_CALLS = (20, 60, 120, 160)
_CALLS_WITH_LOSS = (20, 70, 100)
_LOSS = 0.05
_ROUND_TRIP_MS = 100.0
_QUICK_CALLS = (20, 60)


def voice(
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the figures go.", dir_okay=False)
    ] = Path("voice.json"),
    quick: Annotated[bool, typer.Option("--quick", help="Rough figures, in two minutes.")] = False,
) -> None:
    """What calls get: how many one core carries, speech over bad networks, set-up by steps."""
    from rich.console import Console

    from tests.bench.compare.machine import describe
    from tests.bench.density.measure import measure as carry
    from tests.bench.loss.measure import GRID, Measurement
    from tests.bench.loss.score import Judge
    from tests.bench.setup.measure import measure as set_up
    from tests.bench.voice.figures import Figures

    if os.geteuid() != 0:
        raise BenchError("clients call in network namespaces, which needs root")
    console = Console(stderr=True, highlight=False)

    def say(step: str) -> None:
        console.print(step, style="dim", markup=False)

    seconds = 3.0 if quick else 10.0
    calls, lossy = (_QUICK_CALLS, _QUICK_CALLS) if quick else (_CALLS, _CALLS_WITH_LOSS)
    carried = asyncio.run(carry(calls, seconds, 0.0, 1, say))
    carried += asyncio.run(carry(lossy, seconds, _LOSS, 1, say))
    rows = set_up(
        None,
        ["stock"] if quick else None,
        dataplane="xdp",
        round_trip=_ROUND_TRIP_MS / 1000,
        rounds=1 if quick else 5,
        progress=say,
    )
    began = [row.dump(_ROUND_TRIP_MS) for row in rows]
    networks = (GRID[0], GRID[3], GRID[-2]) if quick else GRID
    try:
        measurement = Measurement(750 if quick else 1500, 1 if quick else 3, Judge(), say)
        heard = measurement.ours(networks) + measurement.neteq(networks)
    except ImportError as error:
        raise BenchError(f"{error.name} is missing: make setup-bench installs it") from None
    command = "python -m " + " ".join(["tests.bench", *sys.argv[1:]])
    figures = Figures(command, describe(), carried, heard, began, _ROUND_TRIP_MS)
    with file_errors():
        output.write_text(figures.dumps(), "utf-8")
    console.print(f"figures in {output}")
