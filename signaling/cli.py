"""The commands of this package: `icelane signaling run` and `icelane call`."""

import asyncio
import logging
import signal
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Annotated

import typer

from relay.registry import Registry, RegistryError
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError

if TYPE_CHECKING:
    from yarl import URL

    from signaling.report import Report

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


def call(
    url: Annotated[
        str,
        typer.Argument(metavar="URL", help="The signaling server, such as http://192.0.2.1:8080."),
    ],
    *,
    wav: Annotated[
        Path | None, typer.Option(help="PCM WAV file to send. Default: a spoken sentence.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Record what comes back to this WAV file.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1, max=3600, help="How long to send audio; it is repeated.")
    ] = 10,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as one JSON object.")
    ] = False,
    progress_json: Annotated[
        bool,
        typer.Option(
            "--progress-json", help="Print a JSON object per step; the last one is the report."
        ),
    ] = False,
) -> None:
    """Place a call, send audio, and account for every packet.

    Ctrl-C ends the call early. The exit code is 0 for a good call; 3 when an audio file cannot
    be used, 4 when signaling cannot be reached, 5 when it refuses the call, 6 when ICE fails,
    7 when DTLS fails, 8 when no audio comes back, 9 when the other side ends the call early,
    130 when it was interrupted before it was set up.
    """
    from signaling.call import SPEECH, Plan, place_call
    from signaling.callview import JsonLines, JsonReport, View, Watch
    from signaling.errors import CallError

    plan = Plan(_server_url(url), seconds, wav or SPEECH, record)
    view: View = JsonLines() if progress_json else JsonReport() if as_json else Watch()

    async def placed() -> "Report":
        return await place_call(plan, stopped=_stop_on_signals(), progress=view.progress)

    try:
        with view:
            report = asyncio.run(placed())
    except CallError as error:
        typer.echo(f"icelane: {error}", err=True)
        raise typer.Exit(error.failure) from None
    view.finish(report)
    if report.error is not None:
        typer.echo(f"icelane: {report.error['message']}", err=True)
        raise typer.Exit(int(report.error["code"]))


def _server_url(text: str) -> "URL":
    from yarl import URL

    try:
        url = URL(text)
        usable = url.scheme in {"http", "https"} and bool(url.host)
    except ValueError:
        usable = False
    if not usable:
        raise typer.BadParameter(
            f"{text!r} is not a URL such as http://192.0.2.1:8080", param_hint="URL"
        )
    return url


def _stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set from now on."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped
