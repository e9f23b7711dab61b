"""The commands of this package: `icelane signaling run` and `icelane call`."""

import asyncio
import logging
import signal
from pathlib import Path
from random import SystemRandom
from typing import Annotated

import typer

from relay.registry import Registry, RegistryError
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError

app = typer.Typer(help="HTTP signaling: offers in, answers out.", no_args_is_help=True)


@app.callback()
def signaling() -> None:
    """HTTP signaling: offers in, answers out."""


@app.command()
def run(
    listen: Annotated[str, typer.Option(help="Where to serve HTTP, as IP:PORT.")],
    registry: Annotated[Path, typer.Option(help="The registry file of relays and transceivers.")],
) -> None:
    """Serve the call routes and the page to talk from, until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        endpoint = Endpoint.parse(listen)
    except EndpointError as error:
        raise typer.BadParameter(str(error), param_hint="--listen") from None
    try:
        known = Registry.load(registry)
    except RegistryError as error:
        raise typer.BadParameter(str(error), param_hint="--registry") from None
    if not known.relays:
        raise typer.BadParameter(
            f"{registry} names no relay: add [[relay]] with its vip, which answers advertise",
            param_hint="--registry",
        )
    if not any(each.control for each in known.transceivers):
        raise typer.BadParameter(
            f"{registry} names no transceiver with a control URL to place calls on",
            param_hint="--registry",
        )
    try:
        asyncio.run(_serve(endpoint, known))
    except OSError as error:
        typer.echo(f"icelane: cannot listen on {endpoint}: {error.strerror or error}", err=True)
        raise typer.Exit(1) from None


async def _serve(listen: Endpoint, registry: Registry) -> None:
    from signaling.server import SignalingServer

    stopped = _stop_on_signals()
    async with SignalingServer(listen, registry, random=SystemRandom()) as server:
        print(f"ready {server.url}", flush=True)
        await stopped.wait()


def _stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set from now on."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped
