"""`icelane transceiver`: run a transceiver."""

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.complete import controls
from relay.cli.options import with_settings
from relay.cli.output import AsJson, Verbose, print_json
from relay.errors import AdminError
from relay.run.service import log_to_stderr, serve
from relay.unanswered import in_words
from relay.wire.route import Target
from transceiver.settings import DEFAULT_SLOT, TransceiverSettings

if TYPE_CHECKING:
    from transceiver.server import TransceiverConfig

app = typer.Typer(
    help="The transceiver: ends ICE, DTLS and SRTP, and answers calls.", no_args_is_help=True
)


_SECONDS = 5.0  # for a transceiver to answer
_POLL = 0.5  # seconds between two looks at its load


@app.callback()
def _group() -> None:
    """Hold the commands of a transceiver."""


@app.command()
@with_settings(TransceiverSettings)
def run(settings: TransceiverSettings, *, verbose: Verbose = False) -> None:
    """Serve sessions until SIGTERM or SIGINT.

    Prints one line that begins with `ready` when it serves; logs go to standard error. With
    several workers, each is a transceiver in a process of its own: media and control port and slot
    count up, and the registry has an entry for each.

    Examples:
        icelane transceiver run --config icelane.toml
        icelane transceiver run --listen 192.0.2.2:5000 --control 192.0.2.2:9000 --keys keys.toml
    """
    from relay.cli.transceiverworker import worker_command
    from transceiver.fleet import announced, claimed
    from transceiver.server import Transceiver
    from transceiver.workers import Workers

    log_to_stderr(verbose)
    configs = _configs(settings)
    if settings.workers > 1:
        workers = Workers(configs, worker_command(verbose=verbose))
        # Each worker that stands in the registry claims a slot of its own, at each start.
        target = "registry" if settings.redis else None
        asyncio.run(
            serve(
                workers,
                lambda serving: _ready(serving.configs, target),
                finish=Workers.finish,
            )
        )
        return
    logging.getLogger("aioice").setLevel(logging.WARNING)
    transceiver = announced(Transceiver(claimed(configs[0])))
    asyncio.run(
        serve(transceiver, lambda serving: _ready([serving.served]), finish=Transceiver.finish)
    )


def _configs(settings: TransceiverSettings) -> list["TransceiverConfig"]:
    """What each worker serves.

    Raises:
        ConfigError: The key file, the table of back ends, or tracing cannot be used.
    """
    from relay.config.keyfile import KeyFile
    from relay.tracing.config import TracingConfig
    from relay.wire.keysource import Role
    from signaling.callid import join_call_id
    from transceiver.bridge.table import Table
    from transceiver.server import Place, TransceiverConfig
    from transceiver.webhook import WebhookConfig

    workers = settings.each_worker()
    keys = KeyFile(settings.keys, Role.TRANSCEIVER, {each.cluster for each in workers})
    table = Table.of(settings.backend, settings.backends, os.environ)
    webhook = WebhookConfig.of(settings.webhook, settings.webhook_secret_file, os.environ)
    tracing = TracingConfig.of(settings.tracing, settings.tracing_ratio, os.environ)
    return [
        TransceiverConfig(
            listen=each.listen,
            control=each.control,
            target=Target(
                each.cluster, DEFAULT_SLOT if each.slot is None else each.slot, each.generation
            ),
            keys=keys.ring,
            key_file=keys,
            capacity=each.capacity,
            table=table,
            records=each.records,
            webhook=webhook,
            call_id=join_call_id,
            place=Place(each.redis, each.slot, each.region) if each.redis else None,
            drain=each.drain,
            tracing=tracing,
        )
        for each in workers
    ]


def _ready(serving: Sequence["TransceiverConfig"], target: str | None = None) -> str:
    """What is printed when they serve."""
    media = ",".join(str(each.listen) for each in serving)
    control = ",".join(f"http://{each.control}" for each in serving)
    target = target or ",".join(str(each.target) for each in serving)
    return f"ready media={media} control={control} target={target}"


@app.command()
def drain(
    control: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="Its control API, such as http://192.0.2.2:9000.",
            autocompletion=controls,
        ),
    ],
    *,
    end: Annotated[bool, typer.Option("--end", help="Let it take calls again.")] = False,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", help="Wait so long until all calls have ended.")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Take no new calls; those that it has go on. With --wait, end with 1 while some still do.

    Examples:
        icelane transceiver drain http://192.0.2.2:9000 --wait 300
        icelane transceiver drain http://192.0.2.2:9000 --end
    """
    load = asyncio.run(_drain(control.rstrip("/"), draining=not end, wait=wait))
    if as_json:
        print_json(load)
    else:
        state = "drains" if load["draining"] else "takes calls"
        print(f"{control} {state}; {load['sessions']} calls go on.")
    if wait and load["sessions"]:
        raise typer.Exit(1)


async def _drain(control: str, *, draining: bool, wait: float) -> dict[str, Any]:
    """Drain a transceiver, or end that; its load, at the latest after `wait` seconds.

    Raises:
        AdminError: It does not answer as one should.
    """
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    until = time.monotonic() + wait
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http:
            told = {"draining": draining}
            async with http.post(f"{control}/v1/drain", json=told) as response:
                load: dict[str, Any] = await response.json()
            while load["sessions"] and time.monotonic() < until:
                await asyncio.sleep(_POLL)
                async with http.get(f"{control}/v1/health") as response:
                    load = await response.json()
            return {name: load[name] for name in ("sessions", "capacity", "draining")}
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
        raise AdminError(f"{control} cannot be asked: {in_words(error)}") from None
