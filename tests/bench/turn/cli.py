"""``python -m tests.bench turn``: turns of a conversation, and what sound costs."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.bench.errors import BenchError, file_errors


def turn(
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Where figures go; a page of them goes beside it."),
    ] = Path("turns.json"),
    quick: Annotated[bool, typer.Option("--quick", help="Rough figures, in two minutes.")] = False,
    dataplane: Annotated[
        list[str] | None,
        typer.Option(help="Only this one of the relay's; may be given several times."),
    ] = None,
    turns: Annotated[int | None, typer.Option(min=2, help="Turns of each kind.")] = None,
    appends: Annotated[
        bool, typer.Option(help="Measure what a second of sound costs by event instead.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """How soon a back end hears and is heard, and how soon no more, in a lab with a relay.

    Also how soon the offline agent answers, and how long set-up takes with and without a relay.
    """
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if appends:
        from tests.bench.turn.sound import measure_sound

        rows: Sequence[Any] = measure_sound()
        _print("A second of sound, sent and received", rows, as_json=as_json)
        return
    if os.geteuid() != 0:
        raise BenchError("the lab is made of network namespaces, which needs root")
    from dataclasses import replace

    from tests.bench.compare.machine import describe
    from tests.bench.turn.figures import Figures
    from tests.bench.turn.measure import FULL, QUICK, measure_setups, measure_turns
    from tests.bench.turn.text import page
    from tests.lab.errors import LabError

    scale = QUICK if quick else FULL
    scale = replace(scale, turns=turns or scale.turns, dataplanes=dataplane or scale.dataplanes)

    def say(step: str) -> None:
        console.print(step, style="dim", markup=False)

    load = os.getloadavg()[0]
    try:
        found = list(measure_turns(scale, say))
        began: list[Mapping[str, Any]] = list(measure_setups(scale, say))
    except LabError as error:
        raise BenchError(str(error)) from None
    command = "python -m " + " ".join(["tests.bench", *sys.argv[1:]])
    figures = Figures(command, describe(), load, found, began)
    with file_errors():
        output.write_text(figures.dumps(), "utf-8")
        output.with_suffix(".md").write_text(page(figures), "utf-8")
    console.print(f"figures in {output}, a page of them in {output.with_suffix('.md')}")
    _print("Turns, in milliseconds", found, as_json=as_json)


def _print(title: str, rows: Sequence[Any], *, as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    if as_json:
        typer.echo(json.dumps([asdict(each) for each in rows]))
        return
    table = Table(title=title, title_justify="left")
    for name in asdict(rows[0]):
        table.add_column(name, justify="left" if name in ("what", "dataplane") else "right")
    for each in rows:
        values = asdict(each).values()
        table.add_row(*("" if value is None else str(value) for value in values))
    Console(highlight=False).print(table)
