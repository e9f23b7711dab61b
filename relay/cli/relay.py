"""`icelane relay`: run a relay, and handle the program that it loads into the kernel."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.options import with_settings
from relay.cli.output import AsJson, Instance, Verbose, print_json, print_rows
from relay.run.settings import RelaySettings

if TYPE_CHECKING:
    from relay.dataplane import xdp

app = typer.Typer(no_args_is_help=True, help="Run a relay; load, unload and inspect its program.")


_LOADED = {"vip", "upstream", "ports", "keys", "registry", "interface", "mode", "force"}


@app.command()
@with_settings(RelaySettings)
def run(settings: RelaySettings, *, verbose: Verbose = False) -> None:
    """Serve: route clients by their ufrag, forward them, in the kernel where it can be had."""
    from relay.run.handover import replace_this_process

    replace_this_process(settings.config(), verbose=verbose)


@app.command()
@with_settings(RelaySettings, only=_LOADED | {"instance", "max_flows"})
def load(settings: RelaySettings, *, as_json: AsJson = False) -> None:
    """Compile, load and attach the XDP program; over a running one, replace it and keep flows."""
    from relay.config.keyfile import load_keys
    from relay.config.registry import Registry
    from relay.dataplane import xdp
    from relay.dataplane.kernel.config import Outcome

    relay = settings.config()
    wanted = relay.load_config(load_keys(relay.keys), Registry.load(relay.registry))
    report = xdp.load(replace(wanted, reload=True))
    if as_json:
        print_json(asdict(report))
        return
    for warning in report.warnings:
        typer.echo(f"icelane: {warning}", err=True)
    attached = ", ".join(f"{name} ({how})" for name, how in report.interfaces.items())
    verb = "Loaded" if report.outcome is Outcome.LOADED else "Replaced the program of"
    print(f"{verb} {report.instance} on {attached}; room for {report.max_flows:,} flows.")
    print(f"Kernel {report.kernel}, program {report.object}; {report.seconds * 1000:.0f} ms.")


@app.command()
def build(
    *,
    if_missing: Annotated[
        bool, typer.Option("--if-missing", help="Do nothing where it is compiled already.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compile the XDP program and keep it, so that loading needs neither compiler nor headers."""
    from relay.dataplane.kernel import objects

    found = objects.find_or_build() if if_missing else objects.build()
    if as_json:
        print_json(
            {
                "path": str(found.path) if found.path else None,
                "key": found.object.key.hex(),
                "built_with": found.object.built_with,
                "seconds": None if found.built_in is None else round(found.built_in, 3),
            }
        )
    elif found.built_in is not None:
        print(f"XDP program {found} ({found.object.built_with}).")


@app.command()
def unload(*, instance: Instance = "default", as_json: AsJson = False) -> None:
    """Detach the XDP program and remove its maps, confirmed flows and all."""
    from relay.dataplane import xdp

    unloaded = xdp.unload(instance)
    if as_json:
        print_json({"instance": instance, "unloaded": unloaded})
    else:
        print(f"Unloaded {instance}." if unloaded else f"{instance} was not loaded.")


@app.command()
def status(
    *,
    instance: Annotated[
        str | None, typer.Option(help="One relay; without it, all that are loaded.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is loaded into the kernel, with or without an agent."""
    from relay.dataplane import xdp
    from relay.dataplane.hostfacts import HostFacts
    from relay.dataplane.kernel import pins
    from relay.errors import DataplaneError
    from relay.run.starttimes import StartTimes

    found = []
    for name in [instance] if instance is not None else pins.instances():
        try:
            found.append(xdp.status(name))
        except DataplaneError as error:
            if instance is not None:
                raise
            # Such as one of another version: it is no reason to hide the others.
            typer.echo(f"icelane: {name}: {error}", err=True)
    told = [_told_by_agent(each.instance) for each in found]
    if as_json:
        print_json(
            [
                asdict(each) | {name: agent.get(name) for name in ("host", "start")}
                for each, agent in zip(found, told, strict=True)
            ]
        )
        return
    if not found:
        print("Nothing is loaded. Load the program with `icelane relay load`.")
    for each, agent in zip(found, told, strict=True):
        _print_status(each)
        if agent.get("host"):  # an older agent does not tell
            print(f"When its agent started: {HostFacts.load(agent['host'])}.")
        if agent.get("start"):
            print(f"It {StartTimes.from_json(agent['start'])}.")


def _told_by_agent(instance: str) -> Mapping[str, Any]:
    """What the agent of an instance says of its start; nothing where none answers."""
    from relay.admin.place import default_path
    from relay.admin.transport import first_piece
    from relay.errors import AdminError

    try:
        return first_piece(default_path(instance), "status")
    except AdminError:
        return {}


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
        print_rows(rows)
