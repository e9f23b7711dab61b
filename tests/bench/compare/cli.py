"""`python -m tests.bench run`, `report`, `check` and `systems`: Icelane beside other systems."""

import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tests.bench.errors import BenchError, file_errors
from tests.signals import ENDING, handled

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tests.bench.compare.report.results import Results

_RESULTS = typer.Argument(help="Results of `python -m tests.bench run`.", dir_okay=False)
_as_json = typer.Option("--json", help="Print JSON.")


def systems(*, as_json: Annotated[bool, _as_json] = False) -> None:
    """List what is measured, whether this machine can, and the benchmarks."""
    from rich.console import Console
    from rich.table import Table

    from tests.bench.compare.scale import FULL

    listed = [{"name": each.name, "missing": each.missing()} for each in FULL.systems]
    if as_json:
        typer.echo(json.dumps({"systems": listed, "benchmarks": FULL.names}))
        return
    table = Table("system", "can be measured")
    for each in listed:
        table.add_row(each["name"], each["missing"] or "yes")
    out = Console(highlight=False)
    out.print(table)
    out.print("benchmarks: " + ", ".join(FULL.names))


def run(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Three minutes instead of twenty; rough figures.")
    ] = False,
    rounds: Annotated[
        int | None, typer.Option(min=1, max=100, help="How often everything is measured.")
    ] = None,
    system: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be given several times.")
    ] = None,
    benchmark: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be given several times.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the results go.", dir_okay=False)
    ] = Path("benchmarks.json"),
) -> None:
    """Measure Icelane and other systems in turn, in network namespaces."""
    from rich.console import Console

    from tests.bench.compare import machine
    from tests.bench.compare.report.results import Results
    from tests.bench.compare.run import run as measure
    from tests.bench.compare.scale import FULL, QUICK

    if os.geteuid() != 0:
        raise BenchError(
            "the benchmarks make network namespaces and load BPF programs: run them as root"
        )
    console = Console(stderr=True, highlight=False)
    scale = QUICK if quick else FULL
    benchmarks = scale.select(system, benchmark)
    results = Results(
        machine=machine.describe(),
        command=command_line(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        rounds=rounds or scale.rounds,
    )
    with file_errors():  # now, rather than after all the work
        output.write_text(results.dumps(), "utf-8")
    progress = partial(console.print, style="dim", markup=False)
    with stopped_by_signal(console) as stopped:
        for _ in measure(benchmarks, results, progress, stopped.is_set):
            output.write_text(results.dumps(), "utf-8")
    if stopped.is_set():
        results.failures.append("the run was interrupted")
        output.write_text(results.dumps(), "utf-8")
    for failure in results.failures:
        console.print(f"failed: {failure}", markup=False)
    console.print(f"{len(results.figures)} figures in {output}")
    if results.failures:
        raise typer.Exit(1)


def report(
    results: Annotated[Path, _RESULTS],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The report; its pictures go beside it.")
    ] = Path("benchmarks.md"),
    alternatives: Annotated[
        Path | None,
        typer.Option(help="Results of `python -m tests.bench alternatives`.", dir_okay=False),
    ] = None,
    voice: Annotated[
        Path | None,
        typer.Option(help="Figures of `python -m tests.bench voice`.", dir_okay=False),
    ] = None,
    turn: Annotated[
        Path | None,
        typer.Option(help="Figures of `python -m tests.bench turn`.", dir_okay=False),
    ] = None,
) -> None:
    """Write a report with tables and plots."""
    try:
        from tests.bench.compare.report.plots import draw
    except ModuleNotFoundError:
        raise BenchError("the report needs matplotlib: make setup-bench installs it") from None
    from tests.bench.alternatives.figures.text import section as alternatives_section
    from tests.bench.compare.report.markdown import write
    from tests.bench.compare.report.sections import SECTIONS
    from tests.bench.compare.report.targets import TARGETS
    from tests.bench.turn.figures import Figures as TurnFigures
    from tests.bench.turn.text import sections as turn_sections
    from tests.bench.voice.figures import Figures
    from tests.bench.voice.text import sections as voice_sections

    found, beside = _read(results), _read(alternatives) if alternatives else None
    pictures = output.parent / output.stem
    text = write(
        SECTIONS, TARGETS, found, lambda section: f"{pictures.name}/{section.benchmark}.svg"
    )
    if beside is not None:
        text += "\n" + alternatives_section(beside)
    if voice is not None:
        with file_errors():
            text += "\n" + voice_sections(Figures.loads(voice.read_text("utf-8")))
    if turn is not None:
        with file_errors():
            text += "\n" + turn_sections(TurnFigures.loads(turn.read_text("utf-8")))
    with file_errors():
        for section in SECTIONS:
            if any(key.benchmark == section.benchmark for key in found.figures):
                draw(section, found, pictures / f"{section.benchmark}.svg")
        output.write_text(text, "utf-8")
    typer.echo(f"{output}, and pictures in {pictures}", err=True)


def check(
    results: Annotated[Path, _RESULTS],
    *,
    baseline: Annotated[Path, typer.Option(help="Results to compare with.", dir_okay=False)],
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if a ratio of Icelane got worse.")
    ] = False,
    as_json: Annotated[bool, _as_json] = False,
) -> None:
    """Print which ratios moved since a baseline."""
    from rich.console import Console

    from tests.bench.compare.report.baseline import moves
    from tests.bench.compare.report.sections import SECTIONS

    moved = [
        {
            "benchmark": move.key.benchmark,
            "metric": move.key.metric,
            "parameters": dict(move.key.parameters),
            "system": move.key.system,
            "reference": move.reference,
            "before": move.before,
            "now": move.now,
            "worse": move.worse,
        }
        for move in moves(SECTIONS, _read(baseline), _read(results))
    ]
    if as_json:
        typer.echo(json.dumps(moved))
    elif not moved:
        typer.echo("No ratio moved beyond its spread.")
    else:
        Console(highlight=False).print(_moves(moved))
    if strict and any(each["worse"] for each in moved if "icelane" in str(each["system"])):
        raise typer.Exit(1)


@contextmanager
def stopped_by_signal(console: "Console") -> Iterator[threading.Event]:
    """What Ctrl-C and SIGTERM set: namespaces are taken down whole only between two figures."""
    stopped = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        stopped.set()
        console.print("stopping after this figure; Ctrl-C again ends at once")
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with handled(stop, *ENDING):
        yield stopped


def _moves(moved: Sequence[dict[str, object]]) -> "Table":
    from rich.table import Table

    table = Table("benchmark", "metric", "with", "ratio", "before", "now", "")
    for each in moved:
        parameters = each["parameters"]
        table.add_row(
            str(each["benchmark"]),
            str(each["metric"]),
            ", ".join(f"{k} {v}" for k, v in parameters.items())
            if isinstance(parameters, dict)
            else "",
            f"{each['system']} / {each['reference']}",
            f"{each['before']:.3f}",
            f"{each['now']:.3f}",
            "worse" if each["worse"] else "better",
        )
    return table


def command_line() -> str:
    """The command that was run, as one types it in a checkout."""
    return shlex.join([".venv/bin/python", "-m", "tests.bench", *sys.argv[1:]])


def _read(path: Path) -> "Results":
    from tests.bench.compare.report.results import Results

    with file_errors():
        return Results.loads(path.read_text("utf-8"))
