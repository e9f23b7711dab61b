"""``python -m tests.bench loss``: speech over networks that lose and delay packets."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tests.bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from tests.bench.loss.measure import Result


def loss(
    *,
    seconds: Annotated[int, typer.Option(min=15, max=600, help="Of speech in a run.")] = 30,
    runs: Annotated[int, typer.Option(min=1, max=20, help="Runs for each network.")] = 3,
    neteq: Annotated[
        bool, typer.Option("--neteq/--no-neteq", help="libwebrtc's playout too, in real time.")
    ] = True,
    scores: Annotated[
        bool, typer.Option("--scores/--no-scores", help="Let PLCMOS judge what is heard.")
    ] = True,
    quick: Annotated[bool, typer.Option("--quick", help="Only a few of the networks.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Speech over networks that lose and delay packets: our playout beside libwebrtc's NetEQ."""
    from rich.console import Console

    from tests.bench.loss.measure import GRID, Measurement
    from tests.bench.loss.score import Judge

    console = Console(stderr=True, highlight=False)
    networks = (GRID[0], GRID[3], GRID[-2]) if quick else GRID
    try:
        measurement = Measurement(
            seconds * 50,
            runs,
            Judge() if scores else None,
            lambda step: console.print(f"[dim]{step}[/]"),
        )
        results = measurement.ours(networks)
        if neteq:
            results += measurement.neteq(networks)
    except ImportError as error:
        raise BenchError(
            f"{error.name} is missing: install the extra `bench` (make setup-bench), "
            "or leave out what needs it (--no-neteq, --no-scores)"
        ) from None
    if as_json:
        typer.echo(json.dumps([asdict(result) for result in results]))
    else:
        Console(highlight=False).print(_table(results))


def _table(results: "Sequence[Result]") -> "Table":
    from rich.table import Table

    table = Table(
        title="Loss, by so many; mean jitter (of an episode); us of processor time a frame",
        title_justify="left",
    )
    table.add_column("network", no_wrap=True)
    for name in ("playout", "made up", "silence", "delay", "back", "PLCMOS", "us"):
        table.add_column(name, justify="right")
    order = {result.network: index for index, result in enumerate(reversed(results))}
    for result in sorted(results, key=lambda each: -order[each.network]):
        table.add_row(
            result.network,
            result.playout,
            f"{100 * result.concealed:.1f} %",
            f"{1_000 * result.silence:.0f} ms",
            f"{1_000 * result.delay:.0f} ms",
            "" if result.back is None else f"{result.back:.1f} s",
            "" if result.score is None else f"{result.score:.2f}",
            "" if result.microseconds is None else f"{result.microseconds:.0f}",
        )
    return table
