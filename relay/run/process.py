"""A relay in a process of its own: what `icelane relay run` becomes."""

import importlib
import json
import logging
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from relay import handover
from relay.admin.place import require_nobody
from relay.config.directory import Directory
from relay.config.keyfile import EdgeKeyFiles, KeyFile
from relay.config.registry import Finder
from relay.dataplane.interface import Dataplane, DataplaneChoice
from relay.dataplane.userspace import UserspaceDataplane
from relay.errors import IcelaneError
from relay.run.advertised import unheard
from relay.run.config import RelayConfig
from relay.run.dataplane import open_dataplane, require_no_program
from relay.run.privileges import Account, become, require_root
from relay.run.service import ENOUGH_FILES, log_to_stderr, make_room_for_files, serve
from relay.streams import usable_output
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.keysource import Role

if TYPE_CHECKING:
    from relay.run.helper.client import Helper
    from relay.run.takeover.predecessor import Predecessor
    from relay.run.workers.supervisor import Task
    from relay.run.workers.worker import Worker

_log = logging.getLogger(__name__)


def run(config: RelayConfig, fd: int, helper: "Helper | None" = None) -> None:
    """Serve as a relay until SIGTERM or SIGINT.

    Args:
        config: The relay's settings.
        fd: Where its workers find them.
        helper: Does what takes privileges that this process has given up.

    Raises:
        IcelaneError: It cannot; the text says why.
    """
    registry = config.directory()
    keys = KeyFile(config.keys, Role.RELAY, registry.clusters)
    predecessor = None
    if config.takeover:
        from relay.run.takeover.predecessor import find  # noqa: PLC0415  # see _serve_alone

        predecessor = find(config.admin_path, config.workers)
    if predecessor is None:
        require_nobody(config.admin_path)  # before its dataplane is touched
    where = _where(config.vips, config.advertised(registry.written))
    if config.tcp:
        where += f", TCP on {', '.join(map(str, config.tcp))}"
    _warn_of_clusters_elsewhere(config, registry)
    _warn_of_firewall(config)  # not later: the end of a child has the verifier begin again
    if silent := unheard(config.vips, config.tcp, registry.written):
        _log.warning("%s", silent)
    if config.workers > 1:
        _serve_by_workers(config, keys, registry, fd, where, predecessor=predecessor)
    else:
        _serve_alone(config, keys, registry, where, predecessor, helper=helper)


def _serve_alone(
    config: RelayConfig,
    keys: KeyFile,
    registry: Directory,
    where: str,
    predecessor: "Predecessor | None",
    *,
    helper: "Helper | None",
) -> None:
    if config.dataplane is DataplaneChoice.USERSPACE or not config.interfaces:
        make_room_for_files(config.limits.flows)  # each flow will have a socket
    if config.interfaces:  # before anything else is imported beside it: the kernel starts sooner
        import relay.dataplane.xdp  # noqa: PLC0415
    with ThreadPoolExecutor(1) as executor:
        loading = executor.submit(_open_dataplane, config, keys.ring, registry, predecessor, helper)
        # The kernel verifies the program now, on another processor: time for what comes next.
        import asyncio  # noqa: PLC0415

        from relay import loopturns  # noqa: PLC0415
        from relay.run.agent import Agent  # noqa: PLC0415

        if config.redis is not None:  # not in the event loop, which it would stall
            import relay.mirror.mirror  # noqa: F401, PLC0415
        if config.tracing is not None:  # the same
            importlib.import_module("relay.run.flowspans")

        async def serve_alone() -> None:
            agent = Agent(
                config,
                keys,
                registry,
                asyncio.wrap_future(loading),
                _inherited(config, predecessor),
                predecessor=predecessor,
                helper=helper,
            )
            await serve(
                agent,
                lambda _: f"ready: relay on {where}, {agent.state.forwarder} dataplane",
                # A steered socket serves all flows that the kernel forwards.
                ENOUGH_FILES if config.interfaces else config.files,
                until=Agent.succeeded,
            )

        loopturns.run(serve_alone())


def _open_dataplane(
    config: RelayConfig,
    keys: KeyRing,
    registry: Directory,
    predecessor: "Predecessor | None",
    helper: "Helper | None",
) -> Dataplane:
    """What forwards, or goes on forwarding."""
    if predecessor is None or predecessor.steers:
        return open_dataplane(config, keys, registry, helper)
    # A program that is loaded now would know nothing of the flows that are forwarded beside it.
    if config.interfaces and config.dataplane is not DataplaneChoice.USERSPACE:
        _log.warning(
            "the relay before forwards in userspace, and so does this one: "
            "`icelane dataplane switch xdp` lets the kernel forward, during calls"
        )
    return UserspaceDataplane()


def _inherited(config: RelayConfig, predecessor: "Predecessor | None") -> "Worker | None":
    """What an agent works on that has the sockets of the one before."""
    if predecessor is None:
        return None
    from relay.run.workers.worker import WHOLE, Worker  # noqa: PLC0415  # see _serve_alone

    sockets = predecessor.sockets.only(config.vips, config.tcp, config.metrics)
    return Worker(
        WHOLE.shard,
        {vip: udp for vip, (udp, *_) in sockets.vips.items()},
        sockets.listeners,
        sockets.steered,
        next(iter(sockets.metrics.values()), None),
    )


def _serve_by_workers(
    config: RelayConfig,
    keys: KeyFile,
    registry: Directory,
    fd: int,
    where: str,
    *,
    predecessor: "Predecessor | None",
) -> None:
    from relay import loopturns  # noqa: PLC0415  # see _serve_alone
    from relay.run.fleet import Fleet  # noqa: PLC0415
    from relay.run.workers.supervisor import Workers  # noqa: PLC0415

    async def serve_by_workers() -> None:
        workers = Workers(
            config,
            shard_seed(keys.ring, registry),
            lambda task: _command(fd, task),
            fd,
            advertised=config.advertised(registry.written),
            fleet=Fleet(config, keys, registry),
            predecessor=predecessor,
        )
        said = f"ready: relay on {where}, {config.workers} userspace workers"
        await serve(workers, lambda _: said, until=Workers.succeeded)

    require_no_program(config)
    loopturns.run(serve_by_workers())


def _warn_of_clusters_elsewhere(config: RelayConfig, registry: Directory) -> None:
    given = EdgeKeyFiles(config.edge_keys).keys
    if missing := sorted(registry.remote_clusters - given.clusters):
        _log.warning(
            "no edge keys of cluster %s: there, clients pass for this relay; where the cluster's "
            "master keys are, export them with `icelane keys export --for edge`, and name the file "
            "with --edge-keys",
            ", ".join(map(str, missing)),
        )


def _warn_of_firewall(config: RelayConfig) -> None:
    from relay.run import firewall  # noqa: PLC0415  # see _serve_alone

    if closed := firewall.warning(firewall.accepted(config)):
        _log.warning("%s", closed)
    for sentence in firewall.dropped(firewall.wanted(config)):
        _log.warning("%s", sentence)


def _where(vips: Sequence[Endpoint], advertised: Sequence[Endpoint]) -> str:
    """Where the relay receives, and what clients are told where that differs."""
    bound, told = ", ".join(map(str, vips)), ", ".join(map(str, advertised))
    return bound if bound == told else f"{bound} (advertised as {told})"


def shard_seed(keys: KeyRing, registry: Finder) -> int:
    """The seed by which the relay's clients are distributed among its workers."""
    # The lowest cluster's serves all: it needs only to be the same each time.
    return keys.shard_seed(keys.home(registry.clusters))


def _command(fd: int, task: "Task") -> list[str]:
    """The command line of a worker."""
    described = {
        "index": task.index,
        "processor": task.processor,
        "seed": task.seed,
        "fds": {str(vip): each for vip, each in task.fds.items()},
        "listeners": {str(address): each for address, each in task.listeners.items()},
    }
    module = "relay.run.workers.process"
    return [sys.executable, "-P", "-m", module, str(fd), json.dumps(described)]


def _give_up_root(config: RelayConfig, user: Account) -> "Helper | None":
    """Become the user; gives who does what takes root, where the kernel may come to forward."""
    helper = None
    if config.may_use_kernel:
        from relay.run.helper import process as helping  # noqa: PLC0415  # see _serve_alone

        require_root(user)  # before there is a helper for nothing
        helper = helping.start(config)
    metrics = () if config.metrics is None else (config.metrics,)
    ports = [address.port for address in (*config.vips, *config.tcp, *metrics)]
    become(user, config.admin_path.parent, ports)
    return helper


def main() -> None:
    """Run the relay whose settings are in the file of the descriptor that is the argument."""
    fd = int(sys.argv[1])
    config, verbose = handover.take(fd)
    log_to_stderr(verbose)
    try:
        with usable_output():
            helper = _give_up_root(config, config.user) if config.user is not None else None
            run(config, fd, helper)
    except IcelaneError as error:
        print(f"icelane: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
