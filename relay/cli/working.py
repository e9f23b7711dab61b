"""Run one of the workers of a relay, in the process that its supervisor started for it."""

import asyncio
import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relay.agent import Agent
from relay.cli.relaying import ERRORS, share_seed
from relay.cli.service import log_to_stderr, serve
from relay.config import RelayConfig
from relay.dataplane.userspace import UserspaceDataplane
from relay.registry import Registry
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.workers.share import Share
from relay.workers.worker import Worker

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


async def run(path: Path | None, options: Mapping[str, object], task: Mapping[str, Any]) -> None:
    """Serve as one worker of a relay, until SIGTERM.

    Args:
        path: A TOML file of the relay's settings, or None.
        options: Settings that replace those of the file.
        task: A `relay.workers.Task`, as JSON can hold it.

    Raises:
        Exception: One of `ERRORS`.
    """
    whole = RelayConfig.load(path, options)
    keys, registry = KeyRing.load(whole.keys), Registry.load(whole.registry)
    worker = Worker(
        Share(task["index"], whole.workers, share_seed(keys, registry)),
        {Endpoint.parse(vip): socket.socket(fileno=fd) for vip, fd in task["fds"].items()},
    )
    config = whole.worker(task["index"])
    await serve(Agent(config, keys, registry, UserspaceDataplane(), worker), "ready")


def main() -> None:
    """Run the worker that the argument describes: like `relay.cli.relaying`, and the task."""
    path, options, verbose, task = json.loads(sys.argv[1])
    # However the relay ends, its workers do.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.sched_setaffinity(0, {task["processor"]})
    log_to_stderr(verbose)
    try:
        asyncio.run(run(Path(path) if path else None, options, task))
    except ERRORS as error:
        sys.exit(f"icelane: worker {task['index']}: {error}")


if __name__ == "__main__":
    main()
