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

from relay.dataplane.userspace import UserspaceDataplane
from relay.errors import IcelaneError
from relay.registry import Registry
from relay.run.agent import Agent
from relay.run.config import RelayConfig
from relay.run.process import share_seed
from relay.run.service import log_to_stderr, serve
from relay.run.workers.share import Share
from relay.run.workers.worker import Worker
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


async def run(path: Path | None, options: Mapping[str, object], task: Mapping[str, Any]) -> None:
    """Serve as one worker of a relay, until SIGTERM.

    Args:
        path: A TOML file of the relay's settings, or None.
        options: Settings that replace those of the file.
        task: A `relay.run.workers.Task`, as JSON can hold it.

    Raises:
        IcelaneError: It cannot; the text says why.
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
    """Run the worker that the argument describes: like `relay.run.process`, and the task."""
    path, options, verbose, task = json.loads(sys.argv[1])
    # However the relay ends, its workers do.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.sched_setaffinity(0, {task["processor"]})
    log_to_stderr(verbose)
    try:
        asyncio.run(run(Path(path) if path else None, options, task))
    except IcelaneError as error:
        print(f"icelane: worker {task['index']}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
