"""Put a relay together from its settings, and run it, in a process of its own.

What reads the command line takes 12 MB, and a relay that serves has no use for it. So the command
`icelane relay run` replaces its process by one that runs this module.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from relay.admin import AdminError, require_nobody
from relay.agent import Agent
from relay.cli.service import log_to_stderr, serve
from relay.config import ConfigError, RelayConfig
from relay.dataplane.base import DataplaneError
from relay.dataplane.choose import open_dataplane, require_no_program
from relay.registry import Registry, RegistryError
from relay.sockets.udp import BindError
from relay.wire.errors import WireError
from relay.wire.keys import KeyRing
from relay.workers.supervisor import Task, WorkerError, Workers

# What may go wrong, with a text for people.
ERRORS = (
    *(AdminError, BindError, ConfigError, DataplaneError, RegistryError, WireError),
    WorkerError,
)


async def run(path: Path | None, options: Mapping[str, object], verbose: bool) -> None:
    """Serve as a relay until SIGTERM or SIGINT.

    Args:
        path: A TOML file of settings, or None.
        options: Settings that replace those of the file.
        verbose: Whether workers log more, too.

    Raises:
        Exception: One of `ERRORS`.
    """
    config = RelayConfig.load(path, options)
    keys, registry = KeyRing.load(config.keys), Registry.load(config.registry)
    require_nobody(config.admin_path)  # before its dataplane is touched
    vips = ", ".join(str(vip) for vip in config.vips)
    if config.workers > 1:
        require_no_program(config.instance)
        workers = Workers(
            config, share_seed(keys, registry), partial(_command, path, options, verbose)
        )
        await serve(workers, f"ready: relay on {vips}, {config.workers} userspace workers")
        return
    dataplane = open_dataplane(config, keys, registry)
    agent = Agent(config, keys, registry, dataplane)
    await serve(agent, f"ready: relay on {vips}, {agent.forwarder} dataplane")


def share_seed(keys: KeyRing, registry: Registry) -> int:
    """By which the relay's clients are shared out among its workers."""
    # The lowest cluster's serves all: it needs only to be the same each time.
    return keys.share_seed(min(registry.clusters, default=0))


def _command(
    path: Path | None, options: Mapping[str, object], verbose: bool, task: Task
) -> list[str]:
    """The command line of a worker."""
    described = {
        "index": task.index,
        "processor": task.processor,
        "fds": {str(vip): fd for vip, fd in task.fds.items()},
    }
    argument = json.dumps([path, options, verbose, described], default=os.fspath)
    return [sys.executable, "-P", "-m", "relay.cli.working", argument]


def main() -> None:
    """Run the relay that the argument describes: the path, the options, and whether to log more."""
    path, options, verbose = json.loads(sys.argv[1])
    log_to_stderr(verbose)
    try:
        asyncio.run(run(Path(path) if path else None, options, verbose))
    except ERRORS as error:
        sys.exit(f"icelane: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
