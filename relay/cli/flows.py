"""`icelane flows` and `icelane top`: the relay's flows, listed once or live."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from relay.cli.errors import clear_errors

Instance = Annotated[str, typer.Option(help="Which relay, where several share a host.")]
Admin = Annotated[
    Path | None, typer.Option(help="The agent's admin socket, if it is not the default one.")
]

FILE_WIDTH = 1000  # columns: a line in a file or a pipe need not fit a screen


def flows(
    *,
    instance: Instance = "default",
    admin: Admin = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the relay's flows: from its agent, or from the pinned maps where no agent runs."""
    from rich.console import Console

    from relay.dataplane.base import DataplaneError
    from relay.flowview import flow_table
    from relay.snapshot import take

    with clear_errors(DataplaneError):
        snapshot = take(instance, admin)
    if as_json:
        typer.echo(json.dumps(snapshot["flows"], indent=2))
        return
    console = Console()
    if not console.is_terminal:
        console.width = FILE_WIDTH
    console.print(flow_table(snapshot["flows"]))


def top(
    *,
    instance: Instance = "default",
    admin: Admin = None,
    interval: Annotated[
        float, typer.Option(min=0.1, max=60, help="Seconds between two looks.")
    ] = 1.0,
    count: Annotated[int, typer.Option(min=0, help="End after so many looks; 0 means never.")] = 0,
) -> None:
    """Watch the relay's flows live, until Ctrl-C: rates, and who forwards them."""
    from rich.live import Live

    from relay.dataplane.base import DataplaneError
    from relay.flowview import View
    from relay.snapshot import take

    view = View()
    with clear_errors(DataplaneError):
        try:
            with Live(view.render(take(instance, admin), time.monotonic())) as live:
                looks = 1
                while looks != count:
                    time.sleep(interval)
                    snapshot = take(instance, admin)
                    live.update(view.render(snapshot, time.monotonic()), refresh=True)
                    looks += 1
        except KeyboardInterrupt:
            return
