"""A relay in the registry of a real Redis: it learns where routes lead, and tells of itself."""

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from relay.admin.transport import ask
from relay.config.directory import Directory
from relay.config.keyfile import KeyFile
from relay.config.privatefiles import write_private
from relay.config.registry import Registry, Relay
from relay.registry.announcer import Announcer
from relay.registry.entry import Entry, Heartbeat, RelayEntry, TransceiverEntry
from relay.registry.store import RegistryStore
from relay.run.fleet import Fleet
from relay.supervision import Supervisor
from relay.wire.endpoint import Endpoint
from relay.wire.keysource import Role
from tests.ports import free_port
from tests.relay.conftest import FIRST, RedisServer, eventually
from tests.relay.registry.conftest import Watcher, following
from tests.relay.run.stage import Stage, stage_on

LOOPBACK = "127.0.0.0/8"


def announcer(stage: Stage, server: RedisServer) -> Announcer:
    """The stage's transceiver, which announces itself."""
    there = stage.transceiver.address
    me = TransceiverEntry(FIRST, there, Endpoint(there.host, 9000), 0, 10)
    return Announcer(server.url, stage.scene.keys, lambda: me, owner=str(there))


def relay_of(watcher: Watcher) -> RelayEntry | None:
    found: Entry | None = watcher.first()
    return found if isinstance(found, RelayEntry) else None


@pytest.fixture
def stage4(tmp_path: Path) -> Iterator[Stage]:
    yield from stage_on("127.0.0.1", tmp_path)


@pytest.fixture
def directory() -> Directory:
    """Nobody is known, but for the cluster."""
    return Directory(Registry(()), clusters=[1])


@pytest.mark.parametrize("trouble", [None, signal.SIGSTOP, signal.SIGKILL])
async def test_a_route_leads_to_whom_redis_tells_of_whatever_becomes_of_redis(
    stage4: Stage,
    redis_server: RedisServer,
    directory: Directory,
    trouble: signal.Signals | None,
) -> None:
    url, allow = redis_server.url, (ip_network(LOOPBACK),)
    me = announcer(stage4, redis_server)
    async with stage4.relay(directory=directory, redis=url, allow=allow), me.announcing():
        await eventually(lambda: bool(directory.transceivers), "it is known")
        if trouble is not None:
            redis_server.signal(trouble)
        await stage4.connect()


async def test_an_address_that_is_not_allowed_is_refused(
    stage4: Stage,
    redis_server: RedisServer,
    directory: Directory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    me = announcer(stage4, redis_server)
    async with stage4.relay(directory=directory, redis=redis_server.url), me.announcing():
        await eventually(lambda: "is on the loopback" in caplog.text, "refused")
    assert not directory.transceivers


async def test_it_is_announced_until_it_ends(stage4: Stage, redis_server: RedisServer) -> None:
    async with following(redis_server.url, stage4.scene.keys) as watcher:
        async with stage4.relay(redis=redis_server.url, name="fra-1", region="eu"):
            await eventually(lambda: relay_of(watcher) is not None, "it is known")
            told = relay_of(watcher)
            assert told is not None
            assert (told.name, told.region, told.flows, told.closed) == ("fra-1", "eu", 0, False)
            assert told.vips == (Relay(stage4.vip, name="fra-1", region="eu"),)
            assert told.room == stage4.config.limits.flows
        await eventually(lambda: relay_of(watcher) is None, "it has gone")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_it_tells_where_others_can_ask_for_its_health(
    stage4: Stage, redis_server: RedisServer, host: str
) -> None:
    port = free_port()
    async with (
        following(redis_server.url, stage4.scene.keys) as watcher,
        stage4.relay(redis=redis_server.url, metrics=Endpoint(host, port)),
    ):
        await eventually(lambda: relay_of(watcher) is not None, "it is known")
        told = relay_of(watcher)
        assert told is not None
        assert told.health == Endpoint("127.0.0.1", port)


async def test_a_drained_one_is_withdrawn_and_serves_all_the_same(
    stage4: Stage, redis_server: RedisServer
) -> None:
    async with (
        following(redis_server.url, stage4.scene.keys) as watcher,
        stage4.relay(redis=redis_server.url) as agent,
    ):
        await eventually(lambda: relay_of(watcher) is not None, "it is known")
        agent.drain(on=True)
        await eventually(lambda: bool((r := relay_of(watcher)) and r.closed), "it is closed")
        assert agent.state.unready() == ["it drains"]
        await stage4.connect()
        agent.drain(on=False)
        await eventually(lambda: bool((r := relay_of(watcher)) and not r.closed), "it is open")
        assert agent.state.unready() == []


async def test_one_whose_clock_is_a_day_off_is_not_advertised_and_serves_all_the_same(
    stage4: Stage, redis_server: RedisServer
) -> None:
    url, keys = redis_server.url, stage4.scene.keys
    others = [RelayEntry(1, name, (Relay(Endpoint("203.0.113.7", 3478)),), 0, 10) for name in "ab"]
    async with (
        following(url, keys) as watcher,
        stage4.relay(redis=url, name="fra-1") as agent,
        RegistryStore(url, keys) as store,
    ):
        for each in others:
            await store.announce(Heartbeat(each, 1, time=time.time() - 86_400))
        await eventually(lambda: bool(agent.state.unready()), "it is known")
        assert agent.state.unready() == ["this machine's clock is 1.0 days ahead of 2 of 2 others"]
        assert abs(agent.state.clock_ahead - 86_400) < 5

        def closed() -> list[bool]:
            registry = watcher.table.registry(time.monotonic())
            return [each.closed for each in registry.relays if each.name == "fra-1"]

        await eventually(lambda: closed() == [True], "it is closed")
        await stage4.connect()


async def test_the_file_is_read_again_when_it_changes(
    stage4: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "registry.toml"
    path.write_text("")
    directory = Directory.load(path, [1])
    there = stage4.transceiver.address
    async with stage4.relay(directory=directory, registry=path):
        path.write_text(
            f'[[transceiver]]\ncluster = 1\nslot = 1\ngeneration = 1\naddress = "{there}"\n'
        )
        await eventually(lambda: bool(directory.transceivers), "it is read")
        path.write_text("what is this")
        await eventually(lambda: "stays in force" in caplog.text, "it is refused")
        await stage4.connect()


async def test_files_that_cannot_be_used_as_they_are_now_are_told_of(
    stage4: Stage, tmp_path: Path
) -> None:
    registry, keys, edge = (tmp_path / name for name in ("registry.toml", "keys.toml", "edge.toml"))
    exported = stage4.scene.keys.exported(7, Role.EDGE)
    registry.write_text("")
    for path, ring in ((keys, stage4.scene.keys), (edge, exported)):
        write_private(path, ring.dumps().encode())
    config = replace(stage4.config, registry=registry, edge_keys=(edge,))
    key_file, supervisor = KeyFile(keys, Role.RELAY, [1]), Supervisor()
    Fleet(config, key_file, Directory.load(registry, [1])).follow(supervisor)
    good = {path: path.read_bytes() for path in (registry, keys, edge)}
    names = ["edge key files", "key file", "registry file"]
    for path in good:
        write_private(path, b"what is this")
    await eventually(lambda: sorted(supervisor.failing) == names, "they cannot be used")
    assert not supervisor.troubles, "clients may come all the same"
    assert all(supervisor.trouble(name) for name in names)
    for path, content in good.items():
        write_private(path, content)
    await eventually(lambda: not supervisor.failing, "they are as they were")
    await supervisor.stop()


async def test_drain_by_the_admin_socket(stage4: Stage) -> None:
    async with stage4.relay() as agent:
        for on in (True, False):
            answer = await asyncio.to_thread(ask, agent.admin_path, "drain", on=on)
            assert answer == {"draining": on}
            assert agent.state.unready() == (["it drains"] if on else [])
