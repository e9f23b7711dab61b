"""``python -m tests.bench start``: from the command to the first packet that a relay forwards."""

import json
import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tests.bench.errors import BenchError

if TYPE_CHECKING:
    from tests.bench.start.start import Start


def start(
    *,
    flows: Annotated[int, typer.Option(min=1, max=10_000, help="How many flows Redis has.")] = 1000,
    starts: Annotated[int, typer.Option(min=1, help="How many starts.")] = 9,
    compiling: Annotated[
        bool, typer.Option("--compile", help="Remove the compiled program before each start.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """How long a relay that has lost all its state takes to forward again, in milliseconds."""
    import os

    from rich.console import Console
    from rich.table import Table

    from tests.bench.start.start import StartBench

    if os.geteuid() != 0:
        raise BenchError("the benchmark makes network namespaces and loads BPF, which needs root")
    with StartBench.made(flows) as bench:
        if not compiling:
            bench.start(compiled=True)  # it may be the one that compiles
        measured = [bench.start(compiled=not compiling) for _ in range(starts)]
    rows = [
        {"step": name} | {"median": round(statistics.median(found)), "least": round(min(found))}
        for name, found in _steps(measured)
    ]
    if as_json:
        typer.echo(json.dumps({"flows": flows, "starts": starts, "milliseconds": rows}))
        return
    table = Table(
        title=f"{starts} starts with {flows:,} flows in Redis, in ms", title_justify="left"
    )
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "step" else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(highlight=False).print(table)


_STEPS: Sequence[tuple[str, "Callable[[Start], float]"]] = (
    ("command to first packet", lambda start: start.packet * 1000),
    ("all flows restored", lambda start: start.told["total_ms"]),
    ("of that load", lambda start: start.told["load_ms"]),
    ("of that attach", lambda start: start.told["attach_ms"]),
    ("of that restore", lambda start: start.told["restore_ms"]),
)


def _steps(measured: "Sequence[Start]") -> list[tuple[str, list[float]]]:
    """What was measured, by step."""
    return [(name, [value(each) for each in measured]) for name, value in _STEPS]
