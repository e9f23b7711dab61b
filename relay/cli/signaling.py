"""`icelane signaling`: run the signaling server."""

import asyncio
from random import SystemRandom

import typer

from relay.cli.options import with_settings
from relay.cli.output import Verbose
from relay.config.registry import Registry, RegistryError
from relay.run.service import log_to_stderr, serve
from signaling.settings import SignalingSettings

app = typer.Typer(help="HTTP signaling: offers in, answers out.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `run` a subcommand though it is the only one."""


@app.command()
@with_settings(SignalingSettings)
def run(settings: SignalingSettings, *, verbose: Verbose = False) -> None:
    """Serve the call routes and the page to talk from, until SIGTERM or SIGINT."""
    from signaling.server import SignalingServer

    log_to_stderr(verbose)
    known = Registry.load(settings.registry)
    if not known.relays:
        raise RegistryError(
            f"registry {settings.registry} names no relay: add [[relay]] with its vip, which "
            "answers advertise"
        )
    if not any(each.control for each in known.transceivers):
        raise RegistryError(
            f"registry {settings.registry} names no transceiver with a control URL to place "
            "calls on"
        )
    server = SignalingServer(settings.listen, known, random=SystemRandom())
    asyncio.run(serve(server, lambda each: f"ready {each.url}"))
