"""Relay, transceiver and signaling in one process, for a host of one's own."""

import asyncio
import json
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from relay import linux
from relay.admin.place import default_path, require_nobody
from relay.cli.agentservice import AGENT, beginning_with_agent
from relay.cli.door import (
    require_closed,
    require_free,
    show_to_phones,
    signaling_server,
    visible_url,
)
from relay.cli.transceiverworker import worker_command
from relay.cli.tree import UpSettings
from relay.config.conflict import Conflict, ConflictError
from relay.config.directory import Directory
from relay.config.networks import PRIVATE, is_within
from relay.config.registry import Registry, Relay, Transceiver
from relay.dataplane.interface import Dataplane, DataplaneChoice
from relay.netns.pair import HOST_ADDRESS, NAMESPACE_ADDRESS, namespace_pair
from relay.run import firewall
from relay.run.advertised import told_of
from relay.run.agent import Agent
from relay.run.config import RelayConfig
from relay.run.dataplane import open_dataplane
from relay.run.service import serve
from relay.tracing.config import TracingConfig
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from signaling.callid import join_call_id
from transceiver.agent.settings import AgentSettings
from transceiver.bridge.table import Table
from transceiver.server import Transceiver as TransceiverService
from transceiver.server import TransceiverConfig, bind_media
from transceiver.webhook import WebhookConfig
from transceiver.workers import Workers

DEFAULT_PORT = 3478
LOOPBACK = "127.0.0.1"
ANYWHERE = Endpoint(LOOPBACK, 0)
TARGET = Target(cluster=1, slot=1, generation=1)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Network:
    """How the relay reaches the transceiver.

    Attributes:
        upstream: The relay's address.
        media: The socket of each transceiver.
        interfaces: The interfaces that run the XDP program.
    """

    upstream: str
    media: tuple[socket.socket, ...]
    interfaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is made of the settings before anything runs.

    Attributes:
        media: A socket for each transceiver.
        table: The back ends.
        webhook: Where records of calls are sent; None for nowhere.
        command: The command line of a worker, by the descriptor of its task.
    """

    media: Sequence[socket.socket]
    table: Table
    webhook: WebhookConfig | None
    command: Callable[[int], Sequence[str]]


def run(up: UpSettings, *, as_json: bool = False, verbose: bool = False) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        up: The settings.
        as_json: Whether the line that says that it serves is JSON.
        verbose: Whether workers log more.

    Raises:
        IcelaneError: It cannot; the text says why.
    """
    require_nobody(default_path(up.instance))  # before its network is touched
    require_closed(up.listen, up)
    choice_of_table = None if up.backend == AGENT else up.backend
    table = Table.of(choice_of_table, up.backends, os.environ)
    webhook = WebhookConfig.of(up.webhook, up.webhook_secret_file, os.environ)
    tracing = TracingConfig.of(up.tracing, up.tracing_ratio, os.environ)
    require_interface(up)
    choice = _choice(up.dataplane, up.interface)
    vip = up.vip or Endpoint(_own_address(), DEFAULT_PORT)
    require_free(up.listen, socket.SOCK_STREAM, "the page", "--listen")
    require_free(vip, socket.SOCK_DGRAM, "media", "--vip")
    for address in up.tcp or (vip,):
        option = "--tcp" if up.tcp else "--vip"
        require_free(address, socket.SOCK_STREAM, "media over TCP", option)
    with _network(choice, up) as network:
        config = RelayConfig(
            vips=(vip,),
            advertise=up.advertise,
            tcp=up.tcp or (vip,),
            upstreams=(network.upstream,),
            keys=Path(os.devnull),  # these keys live as long as this process
            dataplane=choice,
            interfaces=network.interfaces,
            instance=up.instance,
            tracing=tracing,
        )
        if not up.advertise and is_within(vip.host, PRIVATE):
            _log.info(
                "%s is a private address: clients elsewhere reach it only through a 1:1 NAT, "
                "as in a cloud, and then need --advertise with the public one",
                vip,
            )
        ports = dict.fromkeys([each.port for each in config.tcp] + [up.listen.port])
        needed = "iif lo", f"udp dport {vip.port}", *(f"tcp dport {port}" for port in ports)
        if closed := firewall.warning(needed):
            _log.warning("%s", closed)
        parts = _Parts(network.media, table, webhook, worker_command(verbose=verbose))
        asyncio.run(_serve(config, up, parts, as_json=as_json))


@contextmanager
def _network(choice: DataplaneChoice, up: UpSettings) -> Iterator[_Network]:
    if choice is DataplaneChoice.USERSPACE:
        yield _Network(LOOPBACK, _udp_sockets(LOOPBACK, up.workers))
        return
    with namespace_pair(up.instance) as (host, inner):
        with host.inside():
            media = _udp_sockets(str(NAMESPACE_ADDRESS.ip), up.workers)
        yield _Network(str(HOST_ADDRESS.ip), media, (*up.interface, inner))


async def _serve(
    settings: RelayConfig,
    up: UpSettings,
    parts: _Parts,
    *,
    as_json: bool,
) -> None:
    keys, table = KeyRing.generate(secrets.token_bytes), parts.table
    async with AsyncExitStack() as stack:
        if up.backend == AGENT or (up.backend is None and up.backends is None):
            agent = beginning_with_agent(table, AgentSettings(), required=up.backend == AGENT)
            table = await stack.enter_async_context(agent)
        alike = TransceiverConfig(
            listen=ANYWHERE,
            control=ANYWHERE,
            target=TARGET,
            keys=keys,
            table=table,
            records=up.records,
            webhook=parts.webhook,
            call_id=join_call_id,
            tracing=settings.tracing,
        )
        serving = await stack.enter_async_context(_transceivers(alike, parts.media, parts.command))
        entries = [
            Transceiver(each.target, each.listen, f"http://{each.control}") for each in serving
        ]
        (relay,) = told_of(settings.vips, settings.advertise, settings.tcp)
        registry = Directory(Registry(tuple(entries), (relay,)))
        forwarding = open_dataplane(settings, keys, registry)
        stack.callback(_unload, forwarding, settings.instance)
        relay_agent = Agent(settings, keys, registry, forwarding)
        await stack.enter_async_context(relay_agent)
        _log.info("%s", forwarding.facts)
        ready, url = _ready_json if as_json else _ready, visible_url(up.listen, up)
        if not as_json:
            show_to_phones(up.listen, up)
        server = signaling_server(
            up.listen,
            registry,
            up,
            dataplane=lambda: relay_agent.state.forwarder,
            tracing=settings.tracing,
        )
        await serve(server, lambda _: ready(url, relay, forwarding))


@asynccontextmanager
async def _transceivers(
    alike: TransceiverConfig,
    media: Sequence[socket.socket],
    command: Callable[[int], Sequence[str]],
) -> AsyncIterator[Sequence[TransceiverConfig]]:
    """A transceiver for each socket, in slots that count up: one in this process, or workers.

    Yields:
        What each serves, with its addresses.
    """
    if len(media) == 1:
        async with TransceiverService(alike, *media) as transceiver:
            yield [transceiver.served]
        return
    targets = (alike.target._replace(slot=alike.target.slot + n) for n in range(len(media)))
    configs = [replace(alike, target=target) for target in targets]
    async with Workers(configs, command, media) as workers:
        yield workers.configs


def _ready(url: str, relay: Relay, forwarding: Dataplane) -> str:
    return f"ready: open {url} in a browser and talk ({_media(relay)}, {forwarding.name} dataplane)"


def _ready_json(url: str, relay: Relay, forwarding: Dataplane) -> str:
    ready = {
        "url": url,
        "media": [str(told) for told in relay.advertised],
        "vip": str(relay.vip),
        "tcp": [str(told) for told in relay.tcp],
        "dataplane": forwarding.name,
        "host": forwarding.facts.as_json(),
    }
    return json.dumps({"ready": ready})


def _media(relay: Relay) -> str:
    """Where clients are told to send media, and where it is received if that differs."""
    told = ", ".join(map(str, relay.advertised))
    return f"media at {told}" + (f", received at {relay.vip}" if relay.advertise else "")


def require_interface(up: UpSettings) -> None:
    """Make sure that XDP has an interface, if it must be XDP.

    Raises:
        ConflictError: It has none.
    """
    if up.dataplane is DataplaneChoice.XDP and not up.interface:
        raise ConflictError(
            Conflict("the XDP dataplane needs the public interface", ("name it with {interface}",))
        )


def _choice(wanted: DataplaneChoice, interfaces: tuple[str, ...]) -> DataplaneChoice:
    if wanted is DataplaneChoice.AUTO and not (interfaces and _may_make_networks()):
        _log.info("userspace dataplane: XDP needs root, its capabilities and --interface")
        return DataplaneChoice.USERSPACE
    return wanted


def _may_make_networks() -> bool:
    return os.geteuid() == 0 and not linux.lacking("CAP_SYS_ADMIN", "CAP_NET_ADMIN")


def _own_address() -> str:
    """The address from which this host reaches others, or any; nothing is sent to find out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            host: str = probe.getsockname()[0]
        except OSError:
            own = (each for each in linux.ipv4_addresses() if not ip_address(each).is_loopback)
            host = next(own, LOOPBACK)
            why = "" if host != LOOPBACK else ", and no browser: they use no loopback for calls"
            _log.warning(
                "this host has no route to others: only clients on it reach %s%s", host, why
            )
    return host


def _udp_sockets(host: str, count: int) -> tuple[socket.socket, ...]:
    return tuple(bind_media(ANYWHERE._replace(host=host)) for _ in range(count))


def _unload(dataplane: Dataplane, instance: str) -> None:
    if dataplane.name == "xdp":
        from relay.dataplane import xdp

        xdp.unload(instance)
