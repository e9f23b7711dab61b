"""`python -m tests.bench run`, `report` and `check`: Icelane beside what people use instead."""

import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tests.bench.errors import BenchError, file_errors

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tests.bench.compare.results import Results

_RESULTS = typer.Argument(help="Results of `python -m tests.bench run`.", dir_okay=False)
_as_json = typer.Option("--json", help="Print JSON.")


def systems(*, as_json: Annotated[bool, _as_json] = False) -> None:
    """Who can take part on this machine, and what is asked."""
    from rich.console import Console
    from rich.table import Table

    from tests.bench.compare.scale import FULL

    listed = [{"name": each.name, "missing": each.missing()} for each in FULL.contestants]
    if as_json:
        typer.echo(json.dumps({"contestants": listed, "questions": FULL.names()}))
        return
    table = Table("contestant", "can take part")
    for each in listed:
        table.add_row(each["name"], each["missing"] or "yes")
    out = Console(highlight=False)
    out.print(table)
    out.print("questions: " + ", ".join(FULL.names()))


def run(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Three minutes instead of twenty; rough figures.")
    ] = False,
    rounds: Annotated[
        int | None, typer.Option(min=1, max=100, help="How often everything is measured.")
    ] = None,
    contestant: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be given several times.")
    ] = None,
    question: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be given several times.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the results go.", dir_okay=False)
    ] = Path("benchmarks.json"),
) -> None:
    """Measure all contestants side by side, in network namespaces of its own."""
    from rich.console import Console

    from tests.bench.compare import machine
    from tests.bench.compare.results import Results
    from tests.bench.compare.run import run as work
    from tests.bench.compare.scale import FULL, QUICK

    if os.geteuid() != 0:
        raise BenchError(
            "the benchmark makes network namespaces and loads BPF programs, which needs root"
        )
    console = Console(stderr=True, highlight=False)
    scale = QUICK if quick else FULL
    plan = scale.only(contestant, question).plan(rounds)
    results = Results(
        machine=machine.describe(),
        command=_command(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        rounds=plan.rounds,
    )
    with file_errors():  # now, rather than after all the work
        output.write_text(results.dumps(), "utf-8")
    stopped = _stop_by_signal(console)
    for _ in work(plan, results, lambda step: console.print(f"[dim]{step}[/]"), stopped.is_set):
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
) -> None:
    """Write a report with tables and plots."""
    try:
        from tests.bench.compare.plots import draw
    except ModuleNotFoundError:
        raise BenchError("the report needs matplotlib: make setup-bench installs it") from None
    from tests.bench.compare.catalogue import SUBJECTS
    from tests.bench.compare.report import write
    from tests.bench.compare.targets import AIMS

    found = _read(results)
    pictures = output.parent / output.stem
    text = write(SUBJECTS, AIMS, found, lambda subject: f"{pictures.name}/{subject.question}.svg")
    with file_errors():
        for subject in SUBJECTS:
            if any(key.question == subject.question for key in found.figures):
                draw(subject, found, pictures / f"{subject.question}.svg")
        output.write_text(text, "utf-8")
    typer.echo(f"{output}, and pictures in {pictures}", err=True)


def check(
    results: Annotated[Path, _RESULTS],
    *,
    baseline: Annotated[Path, typer.Option(help="Results to compare with.", dir_okay=False)],
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 if a ratio of Icelane's got worse.")
    ] = False,
    as_json: Annotated[bool, _as_json] = False,
) -> None:
    """Print which ratios moved since a baseline."""
    from rich.console import Console

    from tests.bench.compare.baseline import moves
    from tests.bench.compare.catalogue import SUBJECTS

    moved = [
        {
            "question": move.key.question,
            "metric": move.key.metric,
            "parameters": dict(move.key.parameters),
            "contestant": move.key.contestant,
            "reference": move.reference,
            "before": move.before,
            "now": move.now,
            "worse": move.worse,
        }
        for move in moves(SUBJECTS, _read(baseline), _read(results))
    ]
    if as_json:
        typer.echo(json.dumps(moved))
    elif not moved:
        typer.echo("No ratio moved beyond its spread.")
    else:
        Console(highlight=False).print(_moves(moved))
    if strict and any(each["worse"] for each in moved if "icelane" in str(each["contestant"])):
        raise typer.Exit(1)


def _stop_by_signal(console: "Console") -> threading.Event:
    """What Ctrl-C and SIGTERM set: namespaces are taken down whole only between two figures."""
    stopped = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        stopped.set()
        console.print("stopping after this figure; Ctrl-C again ends at once")
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return stopped


def _moves(moved: Sequence[dict[str, object]]) -> "Table":
    from rich.table import Table

    table = Table("question", "metric", "with", "ratio", "before", "now", "")
    for each in moved:
        parameters = each["parameters"]
        table.add_row(
            str(each["question"]),
            str(each["metric"]),
            ", ".join(f"{k} {v}" for k, v in parameters.items())
            if isinstance(parameters, dict)
            else "",
            f"{each['contestant']} / {each['reference']}",
            f"{each['before']:.3f}",
            f"{each['now']:.3f}",
            "worse" if each["worse"] else "better",
        )
    return table


def _command() -> str:
    """The command that was run, as one types it."""
    return shlex.join(["python", "-m", "tests.bench", *sys.argv[1:]])


def _read(path: Path) -> "Results":
    from tests.bench.compare.results import Results

    with file_errors():
        return Results.loads(path.read_text("utf-8"))
