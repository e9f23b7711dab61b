"""A relay in a process of its own: what `icelane relay run` becomes."""

import json
import logging
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from relay.admin.place import require_nobody
from relay.config.keyfile import load_keys
from relay.config.registry import Registry
from relay.dataplane.interface import DataplaneChoice
from relay.errors import IcelaneError
from relay.run import handover
from relay.run.advertised import unheard
from relay.run.config import RelayConfig
from relay.run.dataplane import open_dataplane, require_no_program
from relay.run.service import collect_seldom, log_to_stderr, make_room_for_files, serve
from relay.streams import usable_output
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing

if TYPE_CHECKING:
    from relay.run.workers.supervisor import Task

_log = logging.getLogger(__name__)


def run(config: RelayConfig, fd: int) -> None:
    """Serve as a relay until SIGTERM or SIGINT.

    Args:
        config: The relay's settings.
        fd: Where its workers find them.

    Raises:
        IcelaneError: It cannot; the text says why.
    """
    keys, registry = load_keys(config.keys), Registry.load(config.registry)
    require_nobody(config.admin_path)  # before its dataplane is touched
    where = _where(config.vips, config.advertised(registry))
    if config.tcp:
        where += f", TCP on {', '.join(map(str, config.tcp))}"
    _warn_of_firewall(config)  # not later: the end of a child has the verifier begin again
    if silent := unheard(config.vips, config.tcp, registry):
        _log.warning("%s", silent)
    if config.workers > 1:
        _serve_by_workers(config, keys, registry, fd, where)
    else:
        _serve_alone(config, keys, registry, where)


def _serve_alone(config: RelayConfig, keys: KeyRing, registry: Registry, where: str) -> None:
    if config.dataplane is DataplaneChoice.USERSPACE or not config.interfaces:
        make_room_for_files(config.max_flows)  # each flow will have a socket
    if config.interfaces:  # before anything else is imported beside it: the kernel starts sooner
        import relay.dataplane.xdp  # noqa: F401, PLC0415
    with ThreadPoolExecutor(1) as executor:
        loading = executor.submit(open_dataplane, config, keys, registry)
        # The kernel verifies the program now, on another processor: time for what comes next.
        import asyncio  # noqa: PLC0415

        from relay.run.agent import Agent  # noqa: PLC0415

        collect_seldom()

        async def serve_alone() -> None:
            agent = Agent(config, keys, registry, asyncio.wrap_future(loading))
            await serve(agent, lambda _: f"ready: relay on {where}, {agent.forwarder} dataplane")

        asyncio.run(serve_alone())


def _serve_by_workers(
    config: RelayConfig, keys: KeyRing, registry: Registry, fd: int, where: str
) -> None:
    import asyncio  # noqa: PLC0415  # see _serve_alone

    from relay.run.workers.supervisor import Workers  # noqa: PLC0415

    async def serve_by_workers() -> None:
        workers = Workers(
            config,
            shard_seed(keys, registry),
            lambda task: _command(fd, task),
            fd,
            advertised=config.advertised(registry),
        )
        said = f"ready: relay on {where}, {config.workers} userspace workers"
        await serve(workers, lambda _: said)

    require_no_program(config.instance)
    asyncio.run(serve_by_workers())


def _warn_of_firewall(config: RelayConfig) -> None:
    from relay.run import firewall  # noqa: PLC0415  # see _serve_alone

    if closed := firewall.warning(_accepted(config)):
        _log.warning("%s", closed)


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


def _command(fd: int, task: "Task") -> list[str]:
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
            run(config, fd)
    except IcelaneError as error:
        print(f"icelane: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
