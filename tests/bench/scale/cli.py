"""``python -m tests.bench scale``: a fleet at the scale of the world, simulated."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from tests.bench.errors import file_errors

_DOCS = Path(__file__).parents[3] / "docs"


def scale(
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Where figures go; page and pictures go beside it."),
    ] = Path("scale.json"),
    benchmarks: Annotated[
        Path, typer.Option(help="Results of `python -m tests.bench run`.", dir_okay=False)
    ] = _DOCS / "benchmarks.json",
    mirror: Annotated[
        Path, typer.Option(help="Results of `python -m tests.bench mirror`.", dir_okay=False)
    ] = _DOCS / "mirror.json",
    seed: Annotated[int, typer.Option(help="Makes it repeatable.")] = 1,
    quick: Annotated[
        bool, typer.Option("--quick", help="A fiftieth of the world, in seconds.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what may fill as JSON, not a table.")
    ] = False,
) -> None:
    """What a fleet for the world's calls needs, and what gives way first: a simulation."""
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    from tests.bench.scale.costs import Costs
    from tests.bench.scale.figures import Figures
    from tests.bench.scale.plots import draw
    from tests.bench.scale.run import FULL, QUICK, run
    from tests.bench.scale.text import page

    console = Console(stderr=True, highlight=False)
    costs = Costs.read(benchmarks, mirror)
    command = "python -m " + " ".join(["tests.bench", *sys.argv[1:]])

    def say(step: str) -> None:
        console.print(step, style="dim", markup=False)

    found = run(costs, seed, QUICK if quick else FULL, command, say)
    figures = Figures.loads(found.dumps())  # the page is of what the file keeps
    with file_errors():
        output.write_text(figures.dumps(), "utf-8")
        output.with_suffix(".md").write_text(page(figures), "utf-8")
        draw(figures, output.with_suffix(""))
    console.print(f"figures in {output}, a page of them in {output.with_suffix('.md')}")
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in figures.limits]))
        return
    table = Table("what", "there is", "there may be", title="What may fill")
    for each in figures.limits:
        table.add_row(each.what, f"{each.used:,.3g}", f"{each.room:,.3g}")
    Console(highlight=False).print(table)
