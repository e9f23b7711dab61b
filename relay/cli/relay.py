"""`icelane relay`: run a relay, and handle the program that it loads into the kernel."""

import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.output import AsJson, Instance, print_rows

if TYPE_CHECKING:
    from relay.dataplane import xdp

app = typer.Typer(no_args_is_help=True, help="Run a relay; load, unload and inspect its program.")


@app.command()
def run(
    *,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file with the settings below by the same names.")
    ] = None,
    vip: Annotated[
        list[str] | None, typer.Option(help="A public address that clients send to, IP:PORT.")
    ] = None,
    upstream: Annotated[
        list[str] | None,
        typer.Option(help="An internal address towards transceivers; more have room for more."),
    ] = None,
    ports: Annotated[
        str | None, typer.Option(help="Upstream ports, one for each flow: 10000-29999.")
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="The key file; see `icelane keys new`.")] = None,
    registry: Annotated[
        Path | None, typer.Option(help="The registry file: where transceivers are.")
    ] = None,
    dataplane: Annotated[
        str | None, typer.Option(help="xdp, userspace, or auto: XDP where it can be had.")
    ] = None,
    interface: Annotated[
        list[str] | None, typer.Option(help="An interface that runs the XDP program.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="How XDP is attached: native, generic or auto.")
    ] = None,
    force: Annotated[
        bool | None,
        typer.Option("--force", help="Take somebody else's XDP program off the interfaces."),
    ] = None,
    redis: Annotated[str | None, typer.Option(help="The mirror: redis://HOST:PORT/DB.")] = None,
    instance: Annotated[
        str | None, typer.Option(help="A name, where several relays share a host.")
    ] = None,
    admin: Annotated[Path | None, typer.Option(help="The path of the admin socket.")] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Serve Prometheus metrics at this IP:PORT.")
    ] = None,
    max_flows: Annotated[int | None, typer.Option(help="The most confirmed flows.")] = None,
    idle: Annotated[
        float | None, typer.Option(help="Seconds until an idle flow expires, at least 120.")
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(help="Processes that forward in userspace, or auto: one for each processor."),
    ] = None,
    verbose: Annotated[bool, typer.Option(help="Log more.")] = False,
) -> None:
    """Serve: route clients by their ufrag, forward them, in the kernel where it can be had."""
    options = {
        "vip": vip,
        "upstream": upstream,
        "ports": ports,
        "keys": keys,
        "registry": registry,
        "dataplane": dataplane,
        "interface": interface,
        "mode": mode,
        "force": force,
        "redis": redis,
        "instance": instance,
        "admin": admin,
        "metrics": metrics,
        "max_flows": max_flows,
        "idle": idle,
        "workers": workers,
    }
    task = json.dumps([config, options, verbose], default=os.fspath)
    # -P: no module of the directory that this is run in, as root, takes the relay's place.
    command = (sys.executable, "-P", "-m", "relay.run.process", task)
    os.execv(command[0], command)  # noqa: S606  # no shell is wanted: the arguments are a list


@app.command()
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
    from relay.dataplane import xdp
    from relay.dataplane.kernel.config import Outcome
    from relay.registry import Registry
    from relay.run.config import RelayConfig
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


@app.command()
def unload(*, instance: Instance = "default", as_json: AsJson = False) -> None:
    """Detach the XDP program and remove its maps, confirmed flows and all."""
    from relay.dataplane import xdp

    unloaded = xdp.unload(instance)
    if as_json:
        print(json.dumps({"instance": instance, "unloaded": unloaded}))
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
    from relay.dataplane.kernel import pins

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
        print_rows(rows)
