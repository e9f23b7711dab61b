"""`icelane transceiver`: run a transceiver."""

import asyncio
import logging

import typer

from relay.cli.options import with_settings
from relay.cli.output import Verbose
from relay.run.service import log_to_stderr, serve
from transceiver.settings import TransceiverSettings

app = typer.Typer(
    help="The transceiver: ends ICE, DTLS and SRTP, and answers calls.", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    """Keep `run` a subcommand though it is the only one."""


@app.command()
@with_settings(TransceiverSettings)
def run(settings: TransceiverSettings, *, verbose: Verbose = False) -> None:
    """Serve sessions until SIGTERM or SIGINT.

    Prints one line that begins with `ready` when it serves; logs go to standard error.
    """
    from relay.config.keyfile import load_keys
    from relay.wire.route import Target
    from transceiver.server import Transceiver, TransceiverConfig

    log_to_stderr(verbose)
    logging.getLogger("aioice").setLevel(logging.WARNING)
    config = TransceiverConfig(
        listen=settings.listen,
        control=settings.control,
        target=Target(settings.cluster, settings.slot, settings.generation),
        keys=load_keys(settings.keys),
        capacity=settings.capacity,
    )
    asyncio.run(
        serve(
            Transceiver(config),
            lambda each: (
                f"ready media={each.address} control=http://{each.control} target={config.target}"
            ),
        )
    )
