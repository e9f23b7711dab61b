"""`icelane relay`: run a relay, and handle the program that it loads into the kernel."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from relay.cli import dataplane

app = typer.Typer(no_args_is_help=True, help="Run a relay; load, unload and inspect its program.")
app.command()(dataplane.load)
app.command()(dataplane.unload)
app.command()(dataplane.status)


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
    command = (sys.executable, "-P", "-m", "relay.cli.relaying", task)
    os.execv(command[0], command)  # noqa: S606  # no shell is wanted: the arguments are a list
