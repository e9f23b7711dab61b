"""A real Redis is asked, also where it refuses."""

import time

import pytest

from relay.config.targets import Targets
from relay.doctor import askredis
from relay.registry.entry import Heartbeat
from relay.registry.store import RegistryStore
from relay.wire.keys import KeyRing
from tests.ports import free_port
from tests.relay.conftest import RedisServer
from tests.relay.registry.conftest import KEYS, OWNER, relay, transceiver


async def test_one_that_takes_what_is_written(redis_server: RedisServer) -> None:
    asked = await askredis.ask(redis_server.url)
    assert asked.trouble is None
    assert asked.ahead is not None
    assert abs(asked.ahead) < 60
    left = redis_server.client().pttl("icelane:doctor")
    assert -2 <= left <= 1000  # it goes by itself


async def test_one_with_another_password(redis_server: RedisServer) -> None:
    redis_server.client().config_set("requirepass", "secret")
    asked = await askredis.ask(f"{redis_server.url}?password=wrong")
    assert "refuses the user or password" in (asked.trouble or "")
    assert "wrong" not in asked.name


async def test_one_that_is_full(redis_server: RedisServer) -> None:
    redis_server.client().config_set("maxmemory", "1")
    assert "it is full" in ((await askredis.ask(redis_server.url)).trouble or "")


async def test_one_that_is_not_there() -> None:
    asked = await askredis.ask(f"redis://user:secret@127.0.0.1:{free_port()}/3")
    assert asked.trouble == "nobody listens there: start it, or correct its host and port"
    assert "secret" not in asked.name + (asked.trouble or "")


@pytest.mark.parametrize("hosts", ["127.0.0.1:{port},[::1]:{port}", "[::1]:{port},[::1]:{port}"])
async def test_several_that_are_not_there_are_named(hosts: str) -> None:
    places = hosts.format(port=free_port())
    asked = await askredis.ask(f"redis+sentinel://user:sec[ret@{places}/calls?password=secret")
    assert asked.name == f"redis+sentinel://...@{places}/calls"
    assert "nobody listens there" in (asked.trouble or "")


async def test_who_is_in_the_registry(redis_server: RedisServer) -> None:
    other = KeyRing({0: bytes(32)}, 0)
    async with RegistryStore(redis_server.url, KEYS) as store:
        await store.announce(Heartbeat(relay(), 1, time=time.time() - 3600))
        await store.announce(Heartbeat(transceiver(), 1), OWNER)
    async with RegistryStore(redis_server.url, other) as store:
        await store.announce(Heartbeat(relay("stranger"), 1))
    found = await askredis.registered(redis_server.url, KEYS, [1], Targets())
    assert [str(each.address) for each in found.transceivers] == [OWNER]
    (clock,) = found.clocks
    assert clock.name == "relay fra-1"
    assert clock.ahead == pytest.approx(3600, abs=60)
    assert "does not verify" in found.refused
