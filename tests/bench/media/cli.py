"""``python -m tests.bench media``: what 20 ms of a call cost on the RTP path."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table


def media(
    *,
    frames: Annotated[
        int, typer.Option(min=50, max=100_000, help="Frames of 20 ms in a round.")
    ] = 1_000,
    rounds: Annotated[int, typer.Option(min=1, max=1_000, help="Rounds of all parts.")] = 9,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """What 20 ms of a call cost on the RTP path, by parts, and how many calls of a core that is."""
    from rich.console import Console

    from tests.bench.media.measure import measure

    console = Console(stderr=True, highlight=False)
    results, capacities = measure(frames, rounds, lambda step: console.print(f"[dim]{step}[/]"))
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "parts": [asdict(each) for each in results],
                    "capacity": [asdict(each) for each in capacities],
                }
            )
        )
        return
    out = Console(highlight=False)
    out.print(
        _table(
            "Microseconds of processor time",
            [
                {
                    "part": each.name,
                    "for each": each.unit,
                    "median": f"{each.median:.1f}",
                    "least": f"{each.least:.1f}",
                }
                for each in results
            ],
        )
    )
    out.print(
        _table(
            "Calls of one core, with SRTP (AES-CM) and RTCP, without sockets",
            [
                {
                    "call": each.name.removeprefix("call, "),
                    "us in 20 ms": f"{each.microseconds:.0f}",
                    "calls": each.sessions,
                }
                for each in capacities
            ],
        )
    )


def _table(title: str, rows: list[dict[str, Any]]) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for index, name in enumerate(rows[0]):
        table.add_column(name, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    return table
