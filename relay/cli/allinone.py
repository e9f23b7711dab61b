"""Relay, transceiver and signaling in one process, for a host of one's own."""

import asyncio
import json
import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from random import SystemRandom

from relay import linux
from relay.admin.place import default_path, require_nobody
from relay.cli.tree import UpSettings
from relay.config.conflict import Conflict, ConflictError
from relay.config.registry import Registry, Relay, Transceiver
from relay.dataplane.interface import Dataplane, DataplaneChoice
from relay.netns.pair import HOST_ADDRESS, NAMESPACE_ADDRESS, namespace_pair
from relay.run import firewall
from relay.run.agent import Agent
from relay.run.config import RelayConfig
from relay.run.dataplane import open_dataplane
from relay.run.service import serve
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from signaling.server import SignalingServer
from transceiver.server import Transceiver as TransceiverService
from transceiver.server import TransceiverConfig

DEFAULT_PORT = 3478
LOOPBACK = "127.0.0.1"
ANY_PORT = 0
# Behind a 1:1 NAT a host has one of these: RFC 1918, RFC 6598 (shared), RFC 4193 (IPv6).
_PRIVATE = tuple(
    map(
        ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    )
)
TARGET = Target(cluster=1, slot=1, generation=1)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Network:
    """How the relay reaches the transceiver.

    Attributes:
        upstream: The relay's address.
        media: The transceiver's socket.
        interfaces: The interfaces that run the XDP program.
    """

    upstream: str
    media: socket.socket
    interfaces: tuple[str, ...] = ()


def run(up: UpSettings, *, as_json: bool = False) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        up: The settings.
        as_json: Whether the line that says that it serves is JSON.

    Raises:
        IcelaneError: It cannot; the text says why.
    """
    require_nobody(default_path(up.instance))  # before its network is touched
    choice = _choice(up.dataplane, up.interface)
    vip = up.vip or Endpoint(_own_address(), DEFAULT_PORT)
    with _network(choice, up.interface, up.instance) as network:
        config = RelayConfig(
            vips=(vip,),
            advertise=up.advertise,
            tcp=up.tcp or (vip,),
            upstreams=(network.upstream,),
            keys=Path(os.devnull),  # these keys live as long as this process
            registry=Path(os.devnull),
            dataplane=choice,
            interfaces=network.interfaces,
            instance=up.instance,
        )
        if not up.advertise and _is_private(vip):
            _log.info(
                "%s is a private address: clients elsewhere reach it only through a 1:1 NAT, "
                "as in a cloud, and then need --advertise with the public one",
                vip,
            )
        ports = dict.fromkeys([each.port for each in config.tcp] + [up.listen.port])
        needed = "iif lo", f"udp dport {vip.port}", *(f"tcp dport {port}" for port in ports)
        if closed := firewall.warning(needed):
            _log.warning("%s", closed)
        asyncio.run(_serve(config, up.listen, network.media, as_json=as_json))


@contextmanager
def _network(
    choice: DataplaneChoice, interfaces: tuple[str, ...], instance: str
) -> Iterator[_Network]:
    if choice is DataplaneChoice.USERSPACE:
        yield _Network(LOOPBACK, _udp_socket(LOOPBACK))
        return
    with namespace_pair(instance) as (host, inner):
        with host.inside():
            media = _udp_socket(str(NAMESPACE_ADDRESS.ip))
        yield _Network(str(HOST_ADDRESS.ip), media, (*interfaces, inner))


async def _serve(
    settings: RelayConfig, page: Endpoint, media: socket.socket, *, as_json: bool
) -> None:
    keys = KeyRing.generate(secrets.token_bytes)
    config = TransceiverConfig(
        listen=Endpoint.of(media.getsockname()),
        control=Endpoint(LOOPBACK, ANY_PORT),
        target=TARGET,
        keys=keys,
    )
    async with AsyncExitStack() as stack:
        transceiver = await stack.enter_async_context(TransceiverService(config, media))
        entry = Transceiver(TARGET, transceiver.address, f"http://{transceiver.control}")
        relay = Relay(settings.vips[0], settings.advertise, _told_of_tcp(settings))
        registry = Registry((entry,), (relay,))
        forwarding = open_dataplane(settings, keys, registry)
        stack.callback(_unload, forwarding, settings.instance)
        await stack.enter_async_context(Agent(settings, keys, registry, forwarding))
        _log.info("%s", forwarding.facts)
        ready = _ready_json if as_json else _ready
        await serve(
            SignalingServer(page, registry, random=SystemRandom()),
            lambda _: ready(page, relay, forwarding),
        )


def _ready(page: Endpoint, relay: Relay, forwarding: Dataplane) -> str:
    return (
        f"ready: open http://{_browsable(page)} in a browser and talk "
        f"({_media(relay)}, {forwarding.name} dataplane)"
    )


def _ready_json(page: Endpoint, relay: Relay, forwarding: Dataplane) -> str:
    ready = {
        "url": f"http://{_browsable(page)}",
        "media": [str(told) for told in relay.advertised],
        "vip": str(relay.vip),
        "tcp": [str(told) for told in relay.tcp],
        "dataplane": forwarding.name,
        "host": forwarding.facts.as_json(),
    }
    return json.dumps({"ready": ready})


def _told_of_tcp(settings: RelayConfig) -> tuple[Endpoint, ...]:
    """Where clients are told to connect: a 1:1 NAT has another address, and the same ports."""
    if not settings.advertise:
        return settings.tcp
    (vip,) = settings.vips
    return tuple(
        told if address == vip else told._replace(port=address.port)
        for address in settings.tcp
        for told in settings.advertise
        if told.family == address.family
    )


def _media(relay: Relay) -> str:
    """Where clients are told to send media, and where it is received if that differs."""
    told = ", ".join(map(str, relay.advertised))
    return f"media at {told}" + (f", received at {relay.vip}" if relay.advertise else "")


def _is_private(endpoint: Endpoint) -> bool:
    address = ip_address(endpoint.host)
    return any(address in network for network in _PRIVATE if network.version == address.version)


def _choice(wanted: DataplaneChoice, interfaces: tuple[str, ...]) -> DataplaneChoice:
    if wanted is DataplaneChoice.XDP and not interfaces:
        raise ConflictError(
            Conflict("the XDP dataplane needs the public interface", ("name it with {interface}",))
        )
    if wanted is DataplaneChoice.AUTO and not (interfaces and _may_make_networks()):
        _log.info("userspace dataplane: XDP needs root, its capabilities and --interface")
        return DataplaneChoice.USERSPACE
    return wanted


def _may_make_networks() -> bool:
    return os.geteuid() == 0 and not linux.lacking("CAP_SYS_ADMIN", "CAP_NET_ADMIN")


def _own_address() -> str:
    """The address from which this host reaches others; nothing is sent to find out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            _log.warning("this host has no route to others: only clients on it reach %s", LOOPBACK)
            return LOOPBACK
        host: str = probe.getsockname()[0]
        return host


def _udp_socket(host: str) -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((host, ANY_PORT))
    return udp


def _browsable(page: Endpoint) -> Endpoint:
    # Browsers give the microphone to pages of localhost without HTTPS.
    return Endpoint("localhost", page.port) if page.host in (LOOPBACK, "0.0.0.0") else page  # noqa: S104  # compared, not bound


def _unload(dataplane: Dataplane, instance: str) -> None:
    if dataplane.name == "xdp":
        from relay.dataplane import xdp

        xdp.unload(instance)
