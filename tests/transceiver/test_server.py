"""What a transceiver takes when it starts, and gives back when it stops or cannot start."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.config.keyfile import KeyFile
from relay.config.privatefiles import write_private
from relay.errors import BindError
from relay.linux import IP_MTU_DISCOVER, PMTUDISC_OMIT
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.keysource import Role
from relay.wire.route import Target
from tests.scraping import scrape
from transceiver.backend import EchoBackend, Wanted
from transceiver.bridge.table import Service, Table
from transceiver.server import Transceiver, TransceiverConfig

ANYWHERE = Endpoint("127.0.0.1", 0)

Until = Callable[[Callable[[], Any]], Awaitable[None]]


@pytest.fixture
def config(keys: KeyRing, target: Target) -> TransceiverConfig:
    return TransceiverConfig(ANYWHERE, ANYWHERE, target, keys)


def bound(kind: socket.SocketKind) -> tuple[socket.socket, Endpoint]:
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(ANYWHERE)
    if kind is socket.SOCK_STREAM:
        sock.listen()
    return sock, Endpoint.of(sock.getsockname())


async def test_it_names_the_ports_that_it_took(config: TransceiverConfig) -> None:
    async with Transceiver(config) as transceiver:
        assert transceiver.address.port != 0
        assert transceiver.control.port != 0
        _, writer = await asyncio.open_connection(*transceiver.control)
        writer.close()
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
            pytest.raises(OSError, match="in use"),
        ):
            sock.bind(transceiver.address)


async def test_it_leaves_nothing_behind(
    config: TransceiverConfig, dial: Callable[..., Any], until: Until
) -> None:
    before = asyncio.all_tasks()
    async with Transceiver(config) as transceiver:
        client = dial(transceiver.control)
        await client.call(transceiver.address)
        await until(lambda: client.hears(5))
    assert len(transceiver.calls) == 0
    await until(lambda: client.pc.connectionState == "closed")
    await until(lambda: not asyncio.all_tasks() - before - client._tasks)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(transceiver.address)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*transceiver.control)


async def test_a_socket_that_it_is_given_becomes_its_own(config: TransceiverConfig) -> None:
    given, address = bound(socket.SOCK_DGRAM)
    async with Transceiver(config, given) as transceiver:
        assert transceiver.address == address
        assert given.fileno() >= 0
        # Forged ICMP does not have it cut its packets.
        assert given.getsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER) == PMTUDISC_OMIT
    assert given.fileno() == -1


async def test_a_media_port_in_use_is_named_with_a_remedy(config: TransceiverConfig) -> None:
    taken, address = bound(socket.SOCK_DGRAM)
    with taken, pytest.raises(BindError) as caught:
        async with Transceiver(replace(config, listen=address)):
            pass
    assert str(caught.value) == (
        f"cannot listen on {address} for media: Address already in use; "
        "another program has this port: stop it or choose another port"
    )


async def test_a_control_port_in_use_is_named_and_the_media_socket_given_back(
    config: TransceiverConfig, open_files: Callable[[], int]
) -> None:
    before = asyncio.all_tasks()
    descriptors = open_files()
    taken, address = bound(socket.SOCK_STREAM)
    with taken, pytest.raises(BindError, match=f"{address} for the control API: Address already"):
        async with Transceiver(replace(config, control=address)):
            pass
    assert asyncio.all_tasks() == before
    assert open_files() == descriptors


async def test_a_backend_is_made_for_each_session(
    config: TransceiverConfig, dial: Callable[..., Any]
) -> None:
    made: list[str] = []

    def backend(session_id: str, wanted: Wanted) -> EchoBackend:
        made.append(session_id)
        return EchoBackend(session_id, wanted)

    table = Table((Service("mine", None, local=backend),))
    async with Transceiver(replace(config, table=table)) as transceiver:
        clients = [dial(transceiver.control), dial(transceiver.control)]
        for client in clients:
            await client.call(transceiver.address)
        assert made == [client.id for client in clients]


async def fails(http: aiohttp.ClientSession, transceiver: Transceiver) -> tuple[set[str], set[str]]:
    """Which of its background tasks fail: by its health, and by its metrics."""
    async with http.get(f"http://{transceiver.control}/v1/health") as response:
        health = await response.json()
    _, found = await scrape(http, transceiver.control)
    tasks = found["icelane_transceiver_task_working"]
    return set(health["failing"]), {name for (name,), works in tasks.items() if not works}


async def test_health_and_metrics_tell_of_a_key_file_that_cannot_be_used(
    config: TransceiverConfig, keys: KeyRing, tmp_path: Path, until: Until
) -> None:
    path = tmp_path / "keys.toml"
    write_private(path, keys.dumps().encode())
    file = KeyFile(path, Role.TRANSCEIVER, [config.target.cluster])
    running = Transceiver(replace(config, keys=file.ring, key_file=file))
    async with aiohttp.ClientSession() as http, running as transceiver:
        assert await fails(http, transceiver) == (set(), set())
        write_private(path, b"what is this")
        await until(lambda: file.trouble)
        assert await fails(http, transceiver) == ({"key file"}, {"key file"})
        write_private(path, keys.dumps().encode())
        await until(lambda: not file.trouble)
        assert await fails(http, transceiver) == (set(), set())


async def test_metrics_count_what_raises_in_any_part_of_it(config: TransceiverConfig) -> None:
    async with aiohttp.ClientSession() as http, Transceiver(config) as transceiver:
        transceiver.supervisor.faults.note("a part", ValueError())
        _, found = await scrape(http, transceiver.control)
    assert found["icelane_transceiver_faults_total"] == {(): 1}
