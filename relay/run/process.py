"""A relay in a process of its own: what `icelane relay run` becomes."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from relay.admin.transport import require_nobody
from relay.config.keyfile import load_keys
from relay.config.registry import Registry
from relay.errors import IcelaneError
from relay.run import firewall, handover
from relay.run.advertised import unheard
from relay.run.agent import Agent
from relay.run.config import RelayConfig
from relay.run.dataplane import open_dataplane, require_no_program
from relay.run.service import log_to_stderr, serve
from relay.run.workers.supervisor import Task, Workers
from relay.streams import usable_output
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing

_log = logging.getLogger(__name__)


def replace_this_process(config: RelayConfig, *, verbose: bool) -> NoReturn:
    """Become the process of a relay.

    Args:
        config: The relay's settings.
        verbose: Whether it logs more.
    """
    fd = handover.give((config, verbose))
    # -P: no module of the directory that this is run in, as root, takes the relay's place.
    command = (sys.executable, "-P", "-m", __name__, str(fd))
    os.execv(command[0], command)  # noqa: S606  # no shell is wanted: the arguments are a list


async def run(config: RelayConfig, fd: int) -> None:
    """Serve as a relay until SIGTERM or SIGINT.

    Args:
        config: The relay's settings.
        fd: Where its workers find them.

    Raises:
        IcelaneError: It cannot; the text says why.
    """
    keys, registry = load_keys(config.keys), Registry.load(config.registry)
    require_nobody(config.admin_path)  # before its dataplane is touched
    advertised = config.advertised(registry)
    where = _where(config.vips, advertised)
    if config.tcp:
        where += f", TCP on {', '.join(map(str, config.tcp))}"
    if closed := firewall.warning(_accepted(config)):
        _log.warning("%s", closed)
    if silent := unheard(config.vips, config.tcp, registry):
        _log.warning("%s", silent)
    if config.workers > 1:
        require_no_program(config.instance)
        workers = Workers(
            config,
            shard_seed(keys, registry),
            lambda task: _command(fd, task),
            fd,
            advertised=advertised,
        )
        await serve(
            workers, lambda _: f"ready: relay on {where}, {config.workers} userspace workers"
        )
        return
    dataplane = open_dataplane(config, keys, registry)
    agent = Agent(config, keys, registry, dataplane)
    await serve(agent, lambda _: f"ready: relay on {where}, {agent.forwarder} dataplane")


def _accepted(config: RelayConfig) -> list[str]:
    """What the host's firewall must let in, in nft's words."""
    udp = sorted({str(vip.port) for vip in config.vips})
    udp += [f"{ports[0]}-{ports[-1]}" for ports in config.ports_by_transport.values()]
    tcp = sorted({str(address.port) for address in config.tcp})
    return [
        f"{protocol} dport {{ {', '.join(ports)} }}"
        for protocol, ports in (("udp", udp), ("tcp", tcp))
        if ports
    ]


def _where(vips: Sequence[Endpoint], advertised: Sequence[Endpoint]) -> str:
    """Where the relay receives, and what clients are told where that differs."""
    bound, told = ", ".join(map(str, vips)), ", ".join(map(str, advertised))
    return bound if bound == told else f"{bound} (advertised as {told})"


def shard_seed(keys: KeyRing, registry: Registry) -> int:
    """The seed by which the relay's clients are distributed among its workers."""
    # The lowest cluster's serves all: it needs only to be the same each time.
    return keys.shard_seed(min(registry.clusters, default=0))


def _command(fd: int, task: Task) -> list[str]:
    """The command line of a worker."""
    described = {
        "index": task.index,
        "processor": task.processor,
        "fds": {str(vip): each for vip, each in task.fds.items()},
        "listeners": {str(address): each for address, each in task.listeners.items()},
    }
    module = "relay.run.workers.process"
    return [sys.executable, "-P", "-m", module, str(fd), json.dumps(described)]


def main() -> None:
    """Run the relay whose settings are in the file of the descriptor that is the argument."""
    fd = int(sys.argv[1])
    config, verbose = handover.take(fd)
    log_to_stderr(verbose)
    try:
        with usable_output():
            asyncio.run(run(config, fd))
    except IcelaneError as error:
        print(f"icelane: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
