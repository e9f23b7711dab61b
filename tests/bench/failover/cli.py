"""``python -m tests.bench failover``: relays die, drain and come back, and calls go on."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tests.bench.document import renewed
from tests.bench.errors import BenchError, file_errors
from tests.bench.failover.plan import BFD, DATAPLANES, Countdown, Form, Scale, command, forms

if TYPE_CHECKING:
    from rich.console import Console

    from tests.bench.failover.figures import Figure, Figures
    from tests.bench.failover.measure import Happening

_DOCS = Path(__file__).parents[3] / "docs"


def failover(
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where figures go.", dir_okay=False)
    ] = Path("failover.json"),
    write: Annotated[
        bool, typer.Option("--write", help="Renew tables in docs/failover.md and .json, too.")
    ] = False,
    times: Annotated[int, typer.Option(min=0, help="How often each thing happens.")] = 20,
    without_mirror: Annotated[
        int, typer.Option(min=0, help="How often to relays without a mirror; 0 for never.")
    ] = 3,
    calls: Annotated[int, typer.Option(min=0, max=60, help="Real calls; 0 for none.")] = 20,
    flows: Annotated[int, typer.Option(min=0, help="Generated flows; 0 for none.")] = 1000,
    rate: Annotated[
        float, typer.Option(min=1, help="Packets a second of a generated flow, each way.")
    ] = 10.0,
    dataplane: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be given several times.")
    ] = None,
    what: Annotated[
        list[str] | None, typer.Option(help="Only this; may be given several times.")
    ] = None,
    ask: Annotated[
        bool, typer.Option(help="Whether transceivers hear whom relays ask them for.")
    ] = True,
    bfd: Annotated[
        int, typer.Option(min=5, help="Milliseconds between packets of BFD; peers may miss two.")
    ] = BFD,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """How long media is silent when one of three relays dies, hangs, drains or comes back.

    Clients come over a router, which spreads them over the relays and is told by BIRD, with BGP and
    BFD, who is there.
    """
    from rich.console import Console

    from tests.bench.compare.machine import describe
    from tests.bench.failover.figures import Figures, Record, periods

    if os.geteuid() != 0:
        raise BenchError("the lab is made of network namespaces, which needs root")
    console = Console(stderr=True, highlight=False)
    dataplanes, happenings = _chosen(dataplane, what)
    scale, load = Scale(times, without_mirror, calls, flows, rate, ask, bfd), os.getloadavg()[0]
    told = command(scale, dataplanes, what or ())
    found = Figures(told, describe(), load, periods(scale), [])
    # The file is written at once, which may fail, and has what there is if this is ended early.
    for figures in chain([()], _measured(list(forms(scale, dataplanes)), happenings, console)):
        found = replace(found, figures=[*found.figures, *figures])
        with file_errors():
            output.write_text(Record([found]).dumps(), "utf-8")
    _keep(found, output, console, write=write)
    if as_json:
        typer.echo(Record([found]).dumps(), nl=False)
    else:
        _print(found)


def _chosen(
    dataplanes: Sequence[str] | None, names: Sequence[str] | None
) -> "tuple[Sequence[str], list[Happening]]":
    from tests.bench.failover.measure import HAPPENINGS

    known = [each.name for each in HAPPENINGS]
    for given, all_of_them in ((names, known), (dataplanes, DATAPLANES)):
        if unknown := [name for name in given or () if name not in all_of_them]:
            raise BenchError(f"there is no {unknown[0]!r}; there are: {', '.join(all_of_them)}")
    happenings = [each for each in HAPPENINGS if not names or each.name in names]
    return [each for each in DATAPLANES if not dataplanes or each in dataplanes], happenings


def _measured(
    planned: Sequence[Form], happenings: "Sequence[Happening]", console: "Console"
) -> "Iterator[list[Figure]]":
    """Measure all forms, and say how far it is; the figures of each."""
    from tests.bench.failover.figures import figures_of
    from tests.bench.failover.measure import measure
    from tests.lab.errors import LabError
    from tests.lab.fleet.site import require

    countdown = Countdown(sum(each.seconds(len(happenings)) for each in planned), time.monotonic())
    try:
        require("nft")
        for form in planned:
            before = form.seconds(0)

            def told(what: str, number: int, form: Form = form) -> None:
                nonlocal before
                countdown.done(before)
                before = form.round_seconds
                left = countdown.minutes_left(time.monotonic())
                say = f"{form}: {what}, {number} of {form.times}; {left} min left"
                console.print(say, style="dim", markup=False)

            measured = measure(form, happenings, told)
            yield [figure for each in measured for figure in figures_of(each)]
            countdown.done(before)
    except LabError as error:
        raise BenchError(str(error)) from None


def _keep(found: "Figures", output: Path, console: "Console", *, write: bool) -> None:
    """Say where the figures are, and write them to the project's file where that is wanted."""
    from tests.bench.failover.figures import Record
    from tests.bench.failover.text import tables

    console.print(f"figures in {output}", style="dim", markup=False)
    if write:
        page, file = _DOCS / "failover.md", _DOCS / "failover.json"
        with file_errors():
            record = Record.loads(file.read_text("utf-8")).renewed(found)
            page.write_text(renewed(page.read_text("utf-8"), tables(record)), "utf-8")
            file.write_text(record.dumps(), "utf-8")
        console.print(f"and in {page} and {file}", style="dim", markup=False)


def _print(figures: "Figures") -> None:
    from rich.console import Console
    from rich.table import Table

    from tests.bench.failover.text import HEAD, heading, row

    tables: dict[str, Table] = {}
    for each in figures.figures:
        title = heading(each.kind)
        if title not in tables:
            tables[title] = Table(title=f"{title}; milliseconds", title_justify="left")
            for number, name in enumerate(HEAD):
                tables[title].add_column(name, justify="left" if number < 2 else "right")
        tables[title].add_row(*row(each))
    for table in tables.values():
        Console(highlight=False).print(table)
