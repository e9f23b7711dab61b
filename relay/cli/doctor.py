"""`icelane doctor`: what of this host and of a relay's settings would keep calls from working."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.options import with_settings
from relay.cli.output import AsJson, console, print_json
from relay.doctor.settings import DoctorSettings

if TYPE_CHECKING:
    from rich.console import Console

    from relay.doctor.finding import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "unknown": "cyan"}

Stun = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="A STUN server to ask from where it sees the VIPs: is this host behind a 1:1 NAT?",
    ),
]


@with_settings(DoctorSettings)
def doctor(settings: DoctorSettings, *, stun: Stun = None, as_json: AsJson = False) -> None:
    """Look for what would keep calls from working, and say what mends it.

    It takes the settings of `icelane relay run`, all of them optional: without any it looks at the
    host alone. It changes nothing; without root it says what it could not see. Exit code 1: at
    least one thing failed; 0: none did, though there may be warnings.

    Examples:
        icelane doctor
        icelane doctor --config icelane.toml --json
    """
    from relay.doctor.examine import examine
    from relay.doctor.finding import any_failed

    found = examine(settings, stun)
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        _print(found)
    if any_failed(found):
        raise typer.Exit(1)


def _print(found: Sequence["Finding"]) -> None:
    """A table on a terminal, and elsewhere a line for each, with what mends it below."""
    screen = console()
    if screen.is_terminal:
        _print_table(screen, found)
    else:
        width = max(len(each.name) for each in found)
        for each in found:
            print(f"{each.verdict:7}  {each.name:{width}}  {each.says}")
            if each.fix:
                print(f"{'':7}  {'':{width}}  -> {each.fix}")
    counts = {name: sum(each.verdict == name for each in found) for name in _COLOURS}
    screen.print(", ".join(f"{count} {name}" for name, count in counts.items() if count))


def _print_table(screen: "Console", found: Sequence["Finding"]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(max_width=24)
    table.add_column()
    for each in found:
        said = Text(each.says)
        if each.fix:
            said.append(f"\n→ {each.fix}", style="bold")
        table.add_row(Text(each.verdict, style=_COLOURS[each.verdict]), Text(each.name), said)
    screen.print(table)
