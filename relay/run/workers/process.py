"""Run one of the workers of a relay, in the process that its supervisor started for it."""

import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from relay import handover
from relay.children import BEAT, beat, become_child
from relay.config.keyfile import KeyFile
from relay.dataplane.userspace import UserspaceDataplane
from relay.errors import IcelaneError
from relay.loopturns import run as run_loop
from relay.run.agent import Agent
from relay.run.config import RelayConfig
from relay.run.service import log_to_stderr, make_room_for_files, serve
from relay.run.takeover.predecessor import find
from relay.run.workers.shard import Shard
from relay.run.workers.worker import Worker
from relay.supervision import Supervisor
from relay.wire.endpoint import Endpoint
from relay.wire.keysource import Role


async def run(whole: RelayConfig, task: Mapping[str, Any]) -> None:
    """Serve as one worker of a relay, until SIGTERM.

    Args:
        whole: The relay's settings.
        task: A `relay.run.workers.supervisor.Task`, as JSON can hold it.

    Raises:
        IcelaneError: It cannot; the text says why.
    """
    registry = whole.directory()
    keys = KeyFile(whole.keys, Role.RELAY, registry.clusters)
    worker = Worker(
        Shard(task["index"], whole.workers, task["seed"]),
        _inherited(task["fds"]),
        _inherited(task["listeners"]),
    )
    config = whole.worker(task["index"])
    predecessor = find(config.admin_path, config.workers) if config.takeover else None
    if predecessor is not None:
        predecessor.sockets.close()  # the supervisor has given the same ones
    agent = Agent(config, keys, registry, UserspaceDataplane(), worker, predecessor=predecessor)
    await serve(_beating(agent), lambda _: "ready", config.files, until=Agent.succeeded)


@contextlib.asynccontextmanager
async def _beating(agent: Agent) -> AsyncIterator[Agent]:
    """Let an agent serve, and tell the supervisor all the time that it does."""
    async with agent:
        supervisor = Supervisor()
        supervisor.start("beat", partial(_beat, agent), essential=True, every=BEAT)
        try:
            yield agent
        finally:
            await supervisor.stop()


async def _beat(agent: Agent) -> None:
    beat(agent.state.unready())


def _inherited(fds: Mapping[str, int]) -> dict[Endpoint, socket.socket]:
    return {Endpoint.parse(address): socket.socket(fileno=fd) for address, fd in fds.items()}


def main() -> None:
    """Run a worker; the arguments are like that of `relay.run.process`, and its task."""
    config, verbose = handover.take(int(sys.argv[1]))
    task = json.loads(sys.argv[2])
    become_child()
    os.sched_setaffinity(0, {task["processor"]})
    log_to_stderr(verbose)
    make_room_for_files(config.worker(task["index"]).limits.flows)
    try:
        run_loop(run(config, task))
    except IcelaneError as error:
        print(f"icelane: worker {task['index']}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
