"""Relays to ask: one that runs in userspace, and a program that is loaded without an agent."""

import os
import secrets
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pyroute2 import IPRoute
from typer.testing import Result

from relay.config.privatefiles import write_private
from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from relay.wire.stun import BINDING, Attribute, Message, MessageClass
from tests.ports import free_port
from tests.relay.cli.commands import ICELANE, LIMIT, icelane

KEYS = KeyRing({0: bytes(range(32))}, signing_slot=0)
TARGET = Target(1, 20, 3)
FLOW = FlowTuple(
    Endpoint("198.51.100.7", 40001),
    Endpoint("203.0.113.10", 3478),
    Endpoint("192.0.2.1", 20001),
    Endpoint("192.0.2.2", 5000),
    bytes(range(21)),
)
HostIcelane = Callable[..., Result]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A new key file."""
    path = tmp_path / "keys.toml"
    assert icelane("keys", "new", path).exit_code == 0
    return path


class Files(NamedTuple):
    """What a relay reads."""

    keys: Path
    registry: Path


def write_files(folder: Path, transceiver: Endpoint) -> Files:
    """The files of a relay with one transceiver."""
    files = Files(folder / "keys.toml", folder / "registry.toml")
    write_private(files.keys, KEYS.dumps().encode())
    files.registry.write_text(
        f"[[transceiver]]\ncluster = {TARGET.cluster}\nslot = {TARGET.slot}\n"
        f'generation = {TARGET.generation}\naddress = "{transceiver}"\n'
    )
    return files


class Serving(NamedTuple):
    """A relay in userspace, and the socket of its transceiver, which does not answer."""

    admin: Path
    vip: Endpoint
    media: socket.socket


class Running(NamedTuple):
    """A relay in userspace, and the client of its one pending flow."""

    admin: Path
    client: Endpoint
    vip: Endpoint
    transceiver: Endpoint


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A relay that has met no client, or none that stayed."""
    folder = tmp_path_factory.mktemp("relay")
    admin = folder / "admin.sock"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
        media.bind(("127.0.0.1", 0))
        media.settimeout(LIMIT)
        vip = Endpoint("127.0.0.1", free_port())
        files = write_files(folder, Endpoint.of(media.getsockname()))
        options = ["--vip", str(vip), "--upstream", "127.0.0.1", "--keys", str(files.keys)]
        options += ["--registry", str(files.registry), "--dataplane", "userspace"]
        process = subprocess.Popen(
            [str(ICELANE), "relay", "run", *options, "--admin", str(admin)], stdout=subprocess.PIPE
        )
        output = process.stdout
        assert output is not None
        try:
            assert select.select([output], [], [], LIMIT)[0], "the relay does not start"
            assert output.readline().startswith(b"ready")
            yield Serving(admin, vip, media)
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(LIMIT)
            output.close()
    assert status == 0


@pytest.fixture
def relay(serving: Serving) -> Iterator[Running]:
    """A relay that has just seen a client's first check: a pending flow does not live for long."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as socket_:
        socket_.bind(("127.0.0.1", 0))
        client = Endpoint.of(socket_.getsockname())
        request = binding_request()
        socket_.sendto(request, serving.vip)
        while serving.media.recv(2048) != request:  # the announcement comes before it
            pass
        yield Running(serving.admin, client, serving.vip, Endpoint.of(serving.media.getsockname()))
        icelane("flows", "close", str(client), "--admin", serving.admin)


def binding_request() -> bytes:
    route = mint(TARGET, KEYS, now=time.time(), lifetime=60, nonce=bytes(4))
    username = f"{route.ufrag}:client".encode()
    message = Message(MessageClass.REQUEST, BINDING, bytes(12), ((Attribute.USERNAME, username),))
    return message.serialize(b"password")


@pytest.fixture(scope="module")
def instance() -> str:
    return f"test-{os.getpid()}-{secrets.token_hex(2)}"


@pytest.fixture(scope="module")
def host(instance: str) -> Iterator[Host]:
    """A host with the interface a."""
    host = Host(instance, "relay")
    host.create()
    try:
        with IPRoute(netns=host.namespace) as netlink:
            netlink.link("add", ifname="a", kind="veth", peer="a-far")
        yield host
    finally:
        host.remove()


@pytest.fixture(scope="module")
def host_icelane(host: Host) -> HostIcelane:
    """Runs a command in the host."""

    def run(*arguments: str | Path, columns: int = 200) -> Result:
        with host.inside():
            return icelane(*arguments, columns=columns)

    return run


@pytest.fixture(scope="module")
def loaded(
    host_icelane: HostIcelane, instance: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Result]:
    """What loading the program printed; there is a flow then, and no agent."""
    files = write_files(tmp_path_factory.mktemp("relay"), FLOW.transceiver)
    try:
        result = host_icelane(
            *("relay", "load", "--instance", instance, "--interface", "a"),
            *("--vip", "203.0.113.10:3478", "--upstream", "192.0.2.1", "--max-flows", "10"),
            *("--keys", files.keys, "--registry", files.registry),
        )
        dataplane = xdp.XdpDataplane(instance)
        dataplane.install(FLOW)
        dataplane.close()
        yield result
    finally:
        xdp.unload(instance)
