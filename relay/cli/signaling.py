"""`icelane signaling`: run the signaling server."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import typer

from relay.cli.options import with_settings
from relay.cli.output import Verbose
from relay.config.conflict import Conflict, ConflictError
from relay.config.directory import Directory
from relay.config.keyfile import KeyFile
from relay.config.registry import RegistryError
from relay.config.targets import Targets
from relay.config.watched import INTERVAL, keep_watching
from relay.run.config import DEFAULT_CLUSTER
from relay.run.service import log_to_stderr, serve
from relay.wire.keysource import Role
from signaling.settings import SignalingSettings

if TYPE_CHECKING:
    from signaling.server import SignalingServer

_PATIENCE = 2.0  # seconds that the start waits for Redis

app = typer.Typer(help="HTTP signaling: offers in, answers out.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `run` a subcommand though it is the only one."""


@app.command()
@with_settings(SignalingSettings)
def run(settings: SignalingSettings, *, verbose: Verbose = False) -> None:
    """Serve the call routes and the page to talk from, until SIGTERM or SIGINT.

    Examples:
        icelane signaling run --config icelane.toml
        icelane signaling run --listen 127.0.0.1:8080 --registry registry.toml
    """
    from relay.cli.door import show_to_phones, signaling_server
    from relay.tracing.config import TracingConfig

    log_to_stderr(verbose)
    directory = known_directory(settings)
    server = signaling_server(
        settings.listen,
        directory,
        settings,
        regions=settings.regions,
        metrics=settings.metrics,
        tracing=TracingConfig.of(settings.tracing, settings.tracing_ratio, os.environ),
    )
    show_to_phones(settings.listen, settings)
    asyncio.run(serve(_serving(server, directory, settings), lambda each: f"ready {each.url}"))


def known_directory(settings: SignalingSettings) -> Directory:
    """What is known at the start.

    Raises:
        ConfigError: The registry file cannot be used, or nothing says where transceivers are.
    """
    if settings.redis is not None:
        if settings.keys is None:
            raise ConflictError(
                Conflict("the registry in Redis is signed", ("name the key file with {keys}",))
            )
        own = settings.cluster or (() if settings.registry else (DEFAULT_CLUSTER,))
        return Directory.load(settings.registry, own)
    if settings.registry is None:
        raise ConflictError(
            Conflict(
                "nothing says where relays and transceivers are",
                ("name the registry file with {registry}", "name Redis with {redis}"),
            )
        )
    known = Directory.load(settings.registry, settings.cluster)
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
    return known


@asynccontextmanager
async def _serving(
    server: "SignalingServer", directory: Directory, settings: SignalingSettings
) -> AsyncIterator["SignalingServer"]:
    """A server that serves while the context is entered, with a directory that is kept up to date.

    What Redis has is waited for a little, for the first calls; then what is known must do.
    """
    supervisor = server.supervisor
    if settings.registry is not None:
        supervisor.start(
            "registry file",
            directory.look,
            essential=False,
            every=INTERVAL,
            trouble=lambda: directory.file_trouble,
        )
    try:
        if settings.redis is not None and settings.keys is not None:
            from relay.registry.follower import follow

            keys = KeyFile(settings.keys, Role.SIGNALING, directory.clusters)
            keep_watching(supervisor, "key file", keys)
            targets = Targets(settings.allow)
            follower = follow(directory, settings.redis, keys.ring, targets, supervisor)
            await follower.first_read(_PATIENCE)
        async with server:
            yield server
    finally:
        await supervisor.stop()
