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

from relay.admin.transport import require_nobody
from relay.errors import IcelaneError
from relay.registry import Registry
from relay.run.agent import Agent
from relay.run.choose import open_dataplane, require_no_program
from relay.run.config import RelayConfig
from relay.run.service import log_to_stderr, serve
from relay.run.workers.supervisor import Task, Workers
from relay.wire.keys import KeyRing


async def run(path: Path | None, options: Mapping[str, object], verbose: bool) -> None:
    """Serve as a relay until SIGTERM or SIGINT.

    Args:
        path: A TOML file of settings, or None.
        options: Settings that replace those of the file.
        verbose: Whether workers log more, too.

    Raises:
        IcelaneError: It cannot; the text says why.
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
    return [sys.executable, "-P", "-m", "relay.run.workers.process", argument]


def main() -> None:
    """Run the relay that the argument describes: the path, the options, and whether to log more."""
    path, options, verbose = json.loads(sys.argv[1])
    log_to_stderr(verbose)
    try:
        asyncio.run(run(Path(path) if path else None, options, verbose))
    except IcelaneError as error:
        print(f"icelane: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
