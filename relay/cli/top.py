"""`icelane top`: the relay's flows, live."""

import sys
from typing import Annotated

import typer

from relay.cli.output import Admin, Running, flush


def top(
    *,
    instance: Running = "",
    admin: Admin = None,
    interval: Annotated[
        float, typer.Option(min=0.1, max=60, help="Seconds between two looks.")
    ] = 1.0,
    count: Annotated[int, typer.Option(min=0, help="End after so many looks; 0 means never.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each look.")
    ] = False,
) -> None:
    """Watch a relay live: what it forwards and drops, and its flows by rate.

    On a terminal, ? explains the keys and q leaves. Into a pipe or a file it prints one look after
    the other.

    Examples:
        icelane top
        icelane top --interval 5
        icelane top --json --count 1
    """
    import asyncio

    from relay.top.live import watch
    from relay.top.plain import write_looks

    def write(text: str) -> None:
        typer.echo(text, nl=False)
        flush()

    if sys.stdout is not None and sys.stdout.isatty() and not as_json:
        asyncio.run(watch(instance, admin, interval, count))
        return
    ascii_only = not (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
    asyncio.run(
        write_looks(
            instance, admin, interval, count, as_json=as_json, ascii_only=ascii_only, write=write
        )
    )
