"""``python -m tests.bench replay``: calls that begin while somebody replays their ufrags."""

import json
import statistics
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tests.bench.replay.replay import Row


def replay(
    *,
    trials: Annotated[int, typer.Option(min=1, help="Clients for each row.")] = 100,
    replacements: Annotated[
        int | None,
        typer.Option(
            min=1, help="Flows of a ufrag that give way in a second, in place of the relay's own."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Makes it repeatable.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """How many clients begin a call while somebody replays their ufrags, in simulated time."""
    from rich.console import Console
    from rich.table import Table

    from relay.core.limits import Limits
    from tests.bench.replay.replay import run

    rows = [_numbers(row) for row in run(trials, replacements or Limits().replacements, seed)]
    if as_json:
        typer.echo(json.dumps({"trials": trials, "seed": seed, "rows": rows}))
        return
    table = Table(title=f"Clients under replay, {trials} each", title_justify="left")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*("-" if each is None else str(each) for each in row.values()))
    Console(highlight=False).print(table)


def _numbers(row: "Row") -> dict[str, float | None]:
    found = sorted(row.seconds)
    return {
        "copies_a_second": row.copies,
        "answer_ms": round(row.answer * 1000),
        "give_way_a_second": row.replacements,
        "confirmed_percent": round(100 * len(found) / row.trials, 1),
        "median_s": round(statistics.median(found), 2) if found else None,
        "most_s": round(found[-1], 2) if found else None,
    }
