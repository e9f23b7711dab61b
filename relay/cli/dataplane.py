"""`icelane relay load|unload|status` and `icelane maps`: the kernel's part, without an agent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.errors import clear_errors, fail

if TYPE_CHECKING:
    from relay.dataplane import xdp

Instance = Annotated[str, typer.Option(help="Which relay, where several share a host.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

maps_app = typer.Typer(help="Look into the maps of a loaded program.", no_args_is_help=True)


def load(
    *,
    config: Annotated[
        Path | None, typer.Option(help="The TOML file of `icelane relay run`.")
    ] = None,
    vip: Annotated[
        list[str] | None, typer.Option(help="A public address that clients send to, IP:PORT.")
    ] = None,
    upstream: Annotated[
        list[str] | None, typer.Option(help="The internal address towards transceivers.")
    ] = None,
    ports: Annotated[str | None, typer.Option(help="Upstream ports, such as 10000-29999.")] = None,
    keys: Annotated[Path | None, typer.Option(help="The key file.")] = None,
    registry: Annotated[Path | None, typer.Option(help="The registry file.")] = None,
    interface: Annotated[
        list[str] | None, typer.Option(help="An interface that runs the XDP program.")
    ] = None,
    mode: Annotated[str | None, typer.Option(help="native, generic or auto.")] = None,
    force: Annotated[
        bool | None,
        typer.Option("--force", help="Take somebody else's XDP program off the interfaces."),
    ] = None,
    instance: Annotated[str | None, typer.Option(help="Names what is loaded.")] = None,
    max_flows: Annotated[int | None, typer.Option(help="For how many flows there is room.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compile, load and attach the XDP program; over a running one, replace it and keep flows."""
    from relay.cli.relaying import ERRORS
    from relay.config import RelayConfig
    from relay.dataplane import xdp
    from relay.dataplane.config import Outcome
    from relay.registry import Registry
    from relay.wire.keys import KeyRing

    options = {
        "vip": vip,
        "upstream": upstream,
        "ports": ports,
        "keys": keys,
        "registry": registry,
        "interface": interface,
        "mode": mode,
        "force": force,
        "instance": instance,
        "max_flows": max_flows,
    }
    with clear_errors(*ERRORS):
        relay = RelayConfig.load(config, options)
        wanted = relay.load_config(KeyRing.load(relay.keys), Registry.load(relay.registry))
        report = xdp.load(replace(wanted, rebuild=True))
    if as_json:
        print(json.dumps(asdict(report)))
        return
    for warning in report.warnings:
        typer.echo(f"icelane: {warning}", err=True)
    attached = ", ".join(f"{name} ({how})" for name, how in report.interfaces.items())
    verb = "Loaded" if report.outcome is Outcome.LOADED else "Replaced the program of"
    print(f"{verb} {report.instance} on {attached}; room for {report.max_flows:,} flows.")


def unload(*, instance: Instance = "default", as_json: AsJson = False) -> None:
    """Detach the XDP program and remove its maps, confirmed flows and all."""
    from relay.dataplane import xdp
    from relay.dataplane.base import DataplaneError

    with clear_errors(DataplaneError):
        unloaded = xdp.unload(instance)
    if as_json:
        print(json.dumps({"instance": instance, "unloaded": unloaded}))
    else:
        print(f"Unloaded {instance}." if unloaded else f"{instance} was not loaded.")


def status(
    *,
    instance: Annotated[
        str | None, typer.Option(help="One relay; without it, all that are loaded.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is loaded into the kernel, with or without an agent."""
    from relay.dataplane import pins, xdp
    from relay.dataplane.base import DataplaneError

    with clear_errors(DataplaneError):
        names = [instance] if instance is not None else pins.instances()
        found = [xdp.status(name) for name in names]
    if as_json:
        print(json.dumps([asdict(each) for each in found]))
        return
    if not found:
        print("Nothing is loaded. Load the program with `icelane relay load`.")
    for each in found:
        _print_status(each)


def _print_status(found: "xdp.Status") -> None:
    from rich.console import Console

    attached = ", ".join(
        f"{name} ({how or 'not attached here'})" for name, how in found.interfaces.items()
    )
    console = Console(highlight=False)
    console.print(f"[bold]{found.instance}[/] on {attached or 'no interface'}")
    console.print(f"flows {found.flows:,} of {found.max_flows:,}, program {found.program}")
    rows = [
        {"reason": name, "packets": f"{count:,}"} for name, count in found.counters.items() if count
    ]
    if rows:
        _print_rows(rows)


@maps_app.command("list")
def list_maps(*, instance: Instance = "default", as_json: AsJson = False) -> None:
    """List the pinned maps of a relay, with their layouts."""
    from relay.dataplane.base import DataplaneError
    from relay.dataplane.pins import PinnedMap, Pins

    rows = []
    with clear_errors(DataplaneError):
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
        fail(f"{instance} is not loaded; `icelane relay status` shows what is.")
    if as_json:
        print(json.dumps(rows))
    else:
        _print_rows([{name: str(value) for name, value in row.items()} for row in rows])
        print(f"Pinned in {pins.directory}.")


@maps_app.command("dump")
def dump_map(
    name: Annotated[str, typer.Argument(help="A map that `icelane maps list` shows.")],
    *,
    instance: Instance = "default",
    as_json: AsJson = False,
) -> None:
    """Print a map's entries, decoded by the type information that the kernel keeps with it."""
    from relay.dataplane.base import DataplaneError
    from relay.dataplane.pins import PinnedMap, Pins

    with clear_errors(DataplaneError):
        pins = Pins(instance)
        if name not in pins.maps():
            fail(f"{instance} has no map {name!r}; it has {', '.join(pins.maps()) or 'none'}.")
        with PinnedMap(pins.map(name)) as pinned:
            entries = list(pinned.show())
    if as_json:
        print(json.dumps(entries))
        return
    if not entries:
        print(f"{name} is empty.")
        return
    _print_rows([_row(entry) for entry in entries])


def _row(entry: Mapping[str, Any]) -> dict[str, str]:
    """One line of a table: the fields of the key, the processor, the fields of the value."""
    cells: dict[str, Any] = {label or "key": value for label, value in entry["key"].items()}
    if "cpu" in entry:
        cells["cpu"] = entry["cpu"]
    cells |= {label or "value": value for label, value in entry["value"].items()}
    return {label: str(value) for label, value in cells.items()}


def _print_rows(rows: Sequence[Mapping[str, str]]) -> None:
    """Print records that share their fields: as a table, or below each other where too wide."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    if sum(widths.values()) + 2 * len(widths) <= console.width:
        table = Table(box=None, pad_edge=False)
        for name in widths:
            table.add_column(name)
        for row in rows:
            table.add_row(*row.values())
        console.print(table)
        return
    margin = max(map(len, widths))
    for row in rows:
        for name, value in row.items():
            print(f"{name:{margin}}  {value}")
        print()
