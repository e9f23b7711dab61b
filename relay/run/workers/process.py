"""Run one of the workers of a relay, in the process that its supervisor started for it."""

import asyncio
import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

from relay.config.keyfile import load_keys
from relay.config.registry import Registry
from relay.dataplane.userspace import UserspaceDataplane
from relay.errors import IcelaneError
from relay.run import handover
from relay.run.agent import Agent
from relay.run.config import RelayConfig
from relay.run.process import shard_seed
from relay.run.service import collect_seldom, log_to_stderr, make_room_for_files, serve
from relay.run.workers.shard import Shard
from relay.run.workers.worker import Worker
from relay.wire.endpoint import Endpoint

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


async def run(whole: RelayConfig, task: Mapping[str, Any]) -> None:
    """Serve as one worker of a relay, until SIGTERM.

    Args:
        whole: The relay's settings.
        task: A `relay.run.workers.supervisor.Task`, as JSON can hold it.

    Raises:
        IcelaneError: It cannot; the text says why.
    """
    keys, registry = load_keys(whole.keys), Registry.load(whole.registry)
    worker = Worker(
        Shard(task["index"], whole.workers, shard_seed(keys, registry)),
        _inherited(task["fds"]),
        _inherited(task["listeners"]),
    )
    config = whole.worker(task["index"])
    await serve(Agent(config, keys, registry, UserspaceDataplane(), worker), lambda _: "ready")


def _inherited(fds: Mapping[str, int]) -> dict[Endpoint, socket.socket]:
    return {Endpoint.parse(address): socket.socket(fileno=fd) for address, fd in fds.items()}


def main() -> None:
    """Run a worker; the arguments are like that of `relay.run.process`, and its task."""
    config, verbose = handover.take(int(sys.argv[1]))
    task = json.loads(sys.argv[2])
    # However the relay ends, its workers do.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.sched_setaffinity(0, {task["processor"]})
    log_to_stderr(verbose)
    make_room_for_files(config.worker(task["index"]).max_flows)
    collect_seldom()
    try:
        asyncio.run(run(config, task))
    except IcelaneError as error:
        print(f"icelane: worker {task['index']}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
