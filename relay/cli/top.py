"""`icelane top`: the relay's flows, live."""

import time
from typing import Annotated

import typer

from relay.cli.output import Admin, Running


def top(
    *,
    instance: Running = "",
    admin: Admin = None,
    interval: Annotated[
        float, typer.Option(min=0.1, max=60, help="Seconds between two looks.")
    ] = 1.0,
    count: Annotated[int, typer.Option(min=0, help="End after so many looks; 0 means never.")] = 0,
) -> None:
    """Watch the relay's flows live, until Ctrl-C: rates, and who forwards them.

    Examples:
        icelane top
        icelane top --interval 5
    """
    from rich.live import Live

    from relay.admin.flowview import LiveFlows
    from relay.admin.snapshot import take_snapshot

    view = LiveFlows()
    try:
        with Live(view.render(take_snapshot(instance, admin), time.monotonic())) as live:
            looks = 1
            while looks != count:
                time.sleep(interval)
                snapshot = take_snapshot(instance, admin)
                live.update(view.render(snapshot, time.monotonic()), refresh=True)
                looks += 1
    except KeyboardInterrupt:
        return
