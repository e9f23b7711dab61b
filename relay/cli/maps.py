"""`icelane maps`: what the pinned BPF maps hold, with or without an agent."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.complete import maps
from relay.cli.output import AsJson, Loaded, print_json, print_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.dataplane.kernel.pinnedmap import Items, PinnedMap

app = typer.Typer(help="Look into the maps of a loaded program.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(help="A map that `icelane maps list` shows.", autocompletion=maps)
]
Raw = Annotated[bool, typer.Option("--raw", help="Print bytes in hex digits, not decoded.")]


@app.command("list")
def list_maps(*, instance: Loaded = "", as_json: AsJson = False) -> None:
    """List the pinned maps of a relay, with their layouts.

    Examples:
        icelane maps list
    """
    from relay.dataplane.kernel.pinnedmap import PinnedMap
    from relay.dataplane.kernel.pins import Pins

    pins = Pins(instance)
    rows = []
    for name in _names(instance):
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
    if as_json:
        print_json(rows)
    else:
        print_rows([{name: str(value) for name, value in row.items()} for row in rows])
        print(f"Pinned in {pins.directory}.")


@app.command("dump")
def dump_map(
    name: Name, *, raw: Raw = False, instance: Loaded = "", as_json: AsJson = False
) -> None:
    """Print a map's entries, decoded by the type information that the kernel keeps with it.

    Examples:
        icelane maps dump counters
        icelane maps dump build --json
    """
    with _opened(instance, name) as pinned:
        _print(name, pinned, None, raw=raw, as_json=as_json)


@app.command("show")
def show_entry(
    name: Name,
    key: Annotated[
        str, typer.Argument(help="A number, the name of a gate, or hex: and the key's bytes.")
    ],
    *,
    raw: Raw = False,
    instance: Loaded = "",
    as_json: AsJson = False,
) -> None:
    """Print the entry of one key.

    Examples:
        icelane maps show counters 0
        icelane maps show build 0 --raw
    """
    from relay.admin.mapview import parse_key
    from relay.errors import DataplaneError

    with _opened(instance, name) as pinned:
        wanted = parse_key(name, pinned.key, key)
        value = pinned.lookup(wanted)
        if value is None:
            raise DataplaneError(
                f"{name} has no entry {key!r}; `icelane maps dump {name}` has all."
            )
        _print(name, pinned, [(wanted, value)], raw=raw, as_json=as_json)


def _names(instance: str) -> list[str]:
    """The maps of an instance.

    Raises:
        DataplaneError: It is not loaded.
    """
    from relay.dataplane.kernel.pinnedmap import not_loaded
    from relay.dataplane.kernel.pins import Pins

    names = Pins(instance).maps()
    if not names:
        raise not_loaded(instance)
    return names


def _opened(instance: str, name: str) -> "PinnedMap":
    from relay.dataplane.kernel.pinnedmap import PinnedMap
    from relay.dataplane.kernel.pins import Pins
    from relay.errors import DataplaneError

    names = _names(instance)
    if name not in names:
        raise DataplaneError(f"{instance} has no map {name!r}; it has {', '.join(names)}.")
    return PinnedMap(Pins(instance).map(name))


def _print(
    name: str, pinned: "PinnedMap", some: "Items | None", *, raw: bool, as_json: bool
) -> None:
    """Print some entries of a map, or all that are in use."""
    from relay.admin import mapview

    if raw:
        _refuse_secrets(name, pinned)
        entries: list[Mapping[str, Any]] = [
            *mapview.raw_entries(pinned.items() if some is None else some)
        ]
    else:
        entries = [*mapview.entries(name, pinned.show(some))]
    rows = entries if raw else mapview.rows(name, entries)
    if as_json:
        print_json(entries)
    elif rows:
        print_rows(rows)
    else:
        print(f"{name} is empty.")


def _refuse_secrets(name: str, pinned: "PinnedMap") -> None:
    from relay.errors import ConfigError

    if any(leaf.path.endswith("secret") for leaf in pinned.value.leaves):
        raise ConfigError(f"{name} holds secrets, which are not shown: leave --raw out")
