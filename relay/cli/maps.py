"""`icelane maps`: what the pinned BPF maps hold, with or without an agent."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from relay.cli.complete import maps
from relay.cli.output import AsJson, Instance, print_json, print_rows

app = typer.Typer(help="Look into the maps of a loaded program.", no_args_is_help=True)


@app.command("list")
def list_maps(*, instance: Instance = "default", as_json: AsJson = False) -> None:
    """List the pinned maps of a relay, with their layouts.

    Examples:
        icelane maps list
    """
    from relay.dataplane.kernel.pins import PinnedMap, Pins
    from relay.errors import DataplaneError

    rows = []
    pins = Pins(instance)
    for name in pins.maps():
        with PinnedMap(pins.map(name)) as pinned:
            rows.append(
                {
                    "name": name,
                    "type": pinned.kind,
                    "key": pinned.key.name,
                    "value": pinned.value.name,
                    "max_entries": pinned.info.max_entries,
                }
            )
    if not rows:
        raise DataplaneError(f"{instance} is not loaded; `icelane relay status` shows what is.")
    if as_json:
        print_json(rows)
    else:
        print_rows([{name: str(value) for name, value in row.items()} for row in rows])
        print(f"Pinned in {pins.directory}.")


@app.command("dump")
def dump_map(
    name: Annotated[
        str, typer.Argument(help="A map that `icelane maps list` shows.", autocompletion=maps)
    ],
    *,
    instance: Instance = "default",
    as_json: AsJson = False,
) -> None:
    """Print a map's entries, decoded by the type information that the kernel keeps with it.

    Examples:
        icelane maps dump counters
        icelane maps dump build --json
    """
    from relay.dataplane.kernel.pins import PinnedMap, Pins
    from relay.errors import DataplaneError

    pins = Pins(instance)
    if name not in pins.maps():
        raise DataplaneError(
            f"{instance} has no map {name!r}; it has {', '.join(pins.maps()) or 'none'}."
        )
    with PinnedMap(pins.map(name)) as pinned:
        entries = list(pinned.show())
    if as_json:
        print_json(entries)
        return
    if not entries:
        print(f"{name} is empty.")
        return
    print_rows([_row(entry) for entry in entries])


def _row(entry: Mapping[str, Any]) -> dict[str, str]:
    """One line of a table: the fields of the key, the processor, the fields of the value."""
    cells: dict[str, Any] = {label or "key": value for label, value in entry["key"].items()}
    if "cpu" in entry:
        cells["cpu"] = entry["cpu"]
    cells |= {label or "value": value for label, value in entry["value"].items()}
    return {label: str(value) for label, value in cells.items()}
