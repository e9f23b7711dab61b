"""`icelane stats`: packets by reason and processor, in all and a second."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.output import Admin, AsJson, Running, print_json, print_rows
from relay.errors import AdminError, DataplaneError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.admin.stats import Count, Stat


def stats(
    *,
    interval: Annotated[
        float | None,
        typer.Option(min=0.1, max=3600, help="Look again after so many seconds, with rates."),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-c", min=0, help="End after so many looks; 0: at Ctrl-C.")
    ] = 0,
    by_cpu: Annotated[
        bool, typer.Option("--by-cpu", help="The kernel's counters by processor.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Counters that are 0, too.")
    ] = False,
    instance: Running = "",
    admin: Admin = None,
    as_json: AsJson = False,
) -> None:
    """Show packets by reason since the program and the agent started, and rates over an interval.

    With an interval and --json, each look is a line.

    Examples:
        icelane stats
        icelane stats --interval 1 --by-cpu
    """
    from relay.admin.stats import Stat, rated

    before = _look(instance, admin)
    if interval is None:
        _print(
            [Stat(each) for each in before], by_cpu=by_cpu, everything=everything, as_json=as_json
        )
        return
    looks, at = 0, time.monotonic()
    try:
        while not count or looks < count:
            time.sleep(interval)
            after, now = _look(instance, admin), time.monotonic()
            shown = rated(before, after, now - at)
            _print(shown, by_cpu=by_cpu, everything=everything, as_json=as_json, in_line=True)
            before, at, looks = after, now, looks + 1
    except KeyboardInterrupt:
        return


def _look(instance: str, admin: Path | None) -> "list[Count]":
    """The counters of the program and of the agent, of whichever there is.

    Raises:
        AdminError: There is neither.
    """
    from relay.admin.place import default_path
    from relay.admin.question import ask
    from relay.admin.stats import agent_counts

    try:
        kernel = _kernel(instance)
    except DataplaneError as error:
        kernel, no_program = [], str(error)
    else:
        no_program = ""
    try:
        return kernel + agent_counts(ask(admin or default_path(instance), "counters"))
    except AdminError as error:
        if no_program:
            raise AdminError(f"{error}; and no program: {no_program}") from None
    return kernel


def _kernel(instance: str) -> "list[Count]":
    from relay.admin.stats import kernel_counts
    from relay.dataplane.kernel.pins import Pins

    with Pins(instance).opened("counters") as counters:
        value = counters.lookup(counters.key.number(0)) or b""
        shown = [counters.value.show(part) for part in counters.by_cpu(value)]
    return kernel_counts(
        [{name: each for name, each in part.items() if isinstance(each, int)} for part in shown]
    )


def _print(
    stats: "Sequence[Stat]",
    *,
    by_cpu: bool,
    everything: bool,
    as_json: bool,
    in_line: bool = False,
) -> None:
    seen = [each for each in stats if everything or each.counter.total]
    if as_json:
        rows = [each.as_json() for each in seen]
        if in_line:
            typer.echo(json.dumps(rows))
        else:
            print_json(rows)
        return
    sources = {each.counter.source for each in seen}
    # Only the kernel has processors, so each source is a table of its own where they are shown.
    for part in sorted(sources, reverse=True) if by_cpu else [None]:
        table = [
            each.as_row(by_cpu=by_cpu)
            for each in seen
            if part is None or each.counter.source == part
        ]
        if table:
            print_rows(table)
    if not seen:
        print("Nothing was counted yet.")
