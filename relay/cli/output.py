"""What commands have in common: options by the same name, and output as JSON or as a table.

The JSON of a listing is an array with an object for each row; that of anything else is an object.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.complete import instances
from relay.errors import AdminError, DataplaneError

if TYPE_CHECKING:
    from rich.console import Console

_DEFAULT = "default"


def the_one_that_runs(context: typer.Context, instance: str) -> str:
    """The instance that is named; else the only one that runs here, or the one called default.

    Where no agent runs, the only one that is loaded.

    Raises:
        AdminError: Several run, and none is called that.
    """
    elsewhere = context.params.get("admin") or context.params.get("server")
    if instance or context.resilient_parsing or elsewhere:
        return instance or _DEFAULT
    from relay.admin.place import running

    found = running()
    if len(found) == 1:
        return found[0]
    if found and _DEFAULT not in found:
        raise AdminError(f"several relays run here: name one with --instance: {', '.join(found)}")
    return _DEFAULT if found else _the_one_that_is_loaded()


def _the_one_that_is_loaded() -> str:
    from relay.dataplane.kernel.pins import instances

    try:
        loaded = instances()
    except DataplaneError:  # it needs root, which is told when something is asked of it
        return _DEFAULT
    return loaded[0] if len(loaded) == 1 else _DEFAULT


def the_one_loaded(context: typer.Context, instance: str) -> str:
    """The instance that is named; else the only one that is loaded, or the one called default."""
    return instance or (_DEFAULT if context.resilient_parsing else _the_one_that_is_loaded())


#: For kernels, in which an instance's maps are.
Instance = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Which relay, where several share a host.", autocompletion=instances
    ),
]
#: For agents; without one, that which runs. Its default is empty.
Running = Annotated[
    str,
    typer.Option(
        "--instance",
        metavar="NAME",
        autocompletion=instances,
        help="Which relay, where several run. Default: the one that runs here.",
        callback=the_one_that_runs,
        show_default=False,
    ),
]
#: For what is loaded; without one, that which is. Its default is empty.
Loaded = Annotated[
    str,
    typer.Option(
        "--instance",
        metavar="NAME",
        autocompletion=instances,
        help="Which relay, where several are loaded. Default: the one that is.",
        callback=the_one_loaded,
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Log more.")]
Admin = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="The agent's admin socket, if it is not the default one.",
        readable=False,
    ),
]


def print_json(value: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> None:
    """Print what `--json` asks for."""
    typer.echo(json.dumps(value, indent=2))


def console(*, stderr: bool = False) -> "Console":
    """Where tables are drawn: colour and bold on a terminal only, and not where NO_COLOR is set."""
    from rich.console import Console

    plain = bool(os.environ.get("NO_COLOR"))
    return Console(highlight=False, stderr=stderr, color_system=None if plain else "auto")


def flush() -> None:
    """Have what was printed arrive now, if there is somewhere where it may."""
    if sys.stdout is not None:  # closed when the process started
        sys.stdout.flush()


def print_json_rows(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print an array of objects, each in a line of its own, as they come."""
    before = "[\n  "
    for row in rows:
        typer.echo(before + json.dumps(row), nl=False)
        before = ",\n  "
    typer.echo("[]" if before.startswith("[") else "\n]")


def print_rows(rows: Sequence[Mapping[str, str]]) -> None:
    """Print records that share their fields: as a table, or below each other where too wide."""
    from rich.table import Table
    from rich.text import Text

    screen = console()
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    if sum(widths.values()) + 2 * len(widths) <= screen.width:
        table = Table(box=None, pad_edge=False)
        for name in widths:
            table.add_column(name)
        for row in rows:
            table.add_row(*map(Text, row.values()))  # brackets in a value are no markup
        screen.print(table)
        return
    margin = max(map(len, widths))
    for row in rows:
        for name, value in row.items():
            print(f"{name:{margin}}  {value}")
        print()
