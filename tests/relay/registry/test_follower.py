"""Who follows the registry, and what Redis does meanwhile."""

import asyncio
import logging
import signal
import time
from ipaddress import ip_network

import pytest

from relay.config.directory import Directory
from relay.config.registry import Registry
from relay.config.targets import Targets
from relay.registry.entry import Entry, Heartbeat
from relay.registry.follower import Follower, follow
from relay.registry.store import RegistryStore
from relay.registry.table import FleetTable
from relay.supervision import Supervisor
from relay.wire.keys import KeyRing
from tests.relay.conftest import RedisServer, eventually
from tests.relay.registry.conftest import KEYS, OWNER, following, relay, transceiver


async def announce(server: RedisServer, *heartbeats: Heartbeat, keys: KeyRing = KEYS) -> None:
    async with RegistryStore(server.url, keys) as store:
        for each in heartbeats:
            owner = OWNER if each.entry.field.startswith("transceiver") else None
            assert await store.announce(each, owner)


async def test_what_was_there_is_read_and_what_comes_is_heard(redis_server: RedisServer) -> None:
    await announce(redis_server, Heartbeat(relay(), 1))
    async with following(redis_server.url) as watcher:
        assert await watcher.follower.first_read(5)
        await eventually(lambda: watcher.known == ["relay:fra-1"], "it is read")
        await announce(redis_server, Heartbeat(transceiver(), 1))
        await eventually(lambda: len(watcher.known) == 2, "it is heard")
        assert watcher.follower.counters["registry_heard"] == 1
        async with RegistryStore(redis_server.url, KEYS) as store:
            await store.withdraw(Heartbeat(relay(), 2, gone=True))
        await eventually(lambda: watcher.known == ["transceiver:7"], "its end is heard")
    assert watcher.changes


@pytest.mark.parametrize("off", [-86_400.0, 86_400.0])
async def test_a_clock_that_is_wrong_is_told_once(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, off: float
) -> None:
    now = time.time()
    others: list[Entry] = [transceiver(), relay("fra-2")]
    async with following(redis_server.url, own="fra-1") as watcher:
        assert await watcher.follower.first_read(5)
        there = [Heartbeat(each, 1, time=now + off) for each in others]
        own = Heartbeat(relay("fra-1"), 2, time=now)  # it is the one that is wrong
        await announce(redis_server, *there, own)
        clocks = watcher.follower.clocks
        await eventually(lambda: clocks.verdict(time.monotonic()).others == 2, "both are heard")
        verdict = clocks.verdict(time.monotonic())
        assert verdict.is_wrong
        assert abs(verdict.ahead + off) < 5
        await eventually(lambda: "let NTP set it" in caplog.text, "it is told")
        await announce(redis_server, Heartbeat(there[0].entry, 3, time=now))
        await eventually(lambda: not clocks.verdict(time.monotonic()).is_wrong, "they differ")
        await eventually(lambda: "one of the two is wrong" in caplog.text, "one is told of")


def test_a_url_that_is_none_is_refused_before_it_is_followed() -> None:
    table = FleetTable(Targets())
    with pytest.raises(ValueError, match="names no master"):
        Follower("redis+sentinel://h:1", KEYS, [1], table, lambda: None)


async def test_what_is_missed_is_read_later(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.registry.follower.READ_EVERY", 0.05)
    async with following(redis_server.url) as watcher:
        assert await watcher.follower.first_read(5)
        async with RegistryStore(redis_server.url, KEYS) as store:
            await store.announce(Heartbeat(relay(), 1))
        # Written without being published.
        client = redis_server.client()
        line = Heartbeat(relay("other"), 1).serialize(KEYS)
        key = "icelane:registry:{1}:entries"
        client.hset(key, "relay:other", b"%d000 %s" % (client.time()[0], line))
        await eventually(lambda: "relay:other" in watcher.known, "it is read")
        assert watcher.follower.counters["registry_heard"] == 1


async def test_what_nobody_of_the_cluster_wrote_is_refused_and_told(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    strangers = KeyRing({0: bytes(32)}, 0)
    async with following(redis_server.url) as watcher:
        assert await watcher.follower.first_read(5)
        await announce(redis_server, Heartbeat(transceiver(), 9), keys=strangers)
        await eventually(lambda: watcher.follower.counters["registry_refused"] > 0, "refused")
        redis_server.client().publish("icelane:registry:{1}", b"junk")
        await eventually(lambda: watcher.follower.counters["registry_refused"] > 1, "refused")
        await announce(redis_server, Heartbeat(transceiver(), 1))
        await eventually(lambda: watcher.known == ["transceiver:7"], "the others are heard")
    assert "does not verify" in caplog.text


class TestAway:
    """Whatever becomes of Redis: what is known stays, and everything converges afterwards."""

    async def test_killed_and_started_empty(
        self, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        async with following(redis_server.url) as watcher:
            await announce(redis_server, Heartbeat(relay(), 1))
            await eventually(lambda: watcher.known == ["relay:fra-1"], "it is known")
            redis_server.signal(signal.SIGKILL)
            redis_server.stop()
            await eventually(lambda: watcher.follower.away, "it is noticed")
            assert watcher.known == ["relay:fra-1"]
            redis_server.start()
            await eventually(lambda: not watcher.follower.away, "it is back", limit=20)
            assert watcher.known == ["relay:fra-1"]
            await announce(redis_server, Heartbeat(relay("new"), 1))
            await eventually(lambda: "relay:new" in watcher.known, "others are heard")
        assert caplog.text.count("is away") == 1
        assert caplog.text.count("is back") == 1

    async def test_hung(self, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("relay.registry.follower.READ_EVERY", 0.2)
        monkeypatch.setattr("relay.registry.store.TIMEOUT", 0.3)
        async with following(redis_server.url) as watcher:
            await announce(redis_server, Heartbeat(relay(), 1))
            await eventually(lambda: watcher.known == ["relay:fra-1"], "it is known")
            redis_server.signal(signal.SIGSTOP)
            await eventually(lambda: watcher.follower.away, "it is noticed", limit=20)
            assert watcher.known == ["relay:fra-1"]
            redis_server.signal(signal.SIGCONT)
            await eventually(lambda: not watcher.follower.away, "it is back", limit=20)
            assert watcher.known == ["relay:fra-1"]

    async def test_flushed(self, redis_server: RedisServer) -> None:
        async with following(redis_server.url) as watcher:
            await announce(redis_server, Heartbeat(relay(), 1))
            await eventually(lambda: watcher.known == ["relay:fra-1"], "it is known")
            redis_server.client().flushall()
            await announce(redis_server, Heartbeat(relay("new"), 1))
            await eventually(lambda: len(watcher.known) == 2, "both are known")

    async def test_it_takes_no_writes(
        self,
        redis_server: RedisServer,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.INFO)
        for name, seconds in (("TTL", 0.6), ("QUIET", 0.3)):
            monkeypatch.setattr(f"relay.registry.table.{name}", seconds)
        monkeypatch.setattr("relay.registry.follower.LOOK_EVERY", 0.05)
        async with following(redis_server.url) as watcher:
            await announce(redis_server, Heartbeat(relay(), 1))
            await eventually(lambda: watcher.known == ["relay:fra-1"], "it is known")
            redis_server.client().config_set("min-replicas-to-write", 1)
            await eventually(lambda: watcher.follower.trouble is not None, "it is noticed")
            await asyncio.sleep(0.6)  # all that time nobody is heard
            assert watcher.known == ["relay:fra-1"]
            redis_server.client().config_set("min-replicas-to-write", 0)
            await announce(redis_server, Heartbeat(relay(), 2))
            await eventually(lambda: watcher.follower.trouble is None, "it is over")
        assert caplog.text.count("as if Redis took no writes") >= 1
        assert caplog.text.count("news are in the registry again") >= 1

    async def test_never_there(self, redis_server: RedisServer) -> None:
        redis_server.stop()
        async with following(redis_server.url) as watcher:
            assert not await watcher.follower.first_read(0.2)
            assert watcher.follower.away
            redis_server.start()
            assert await watcher.follower.first_read(20)

    async def test_wrong_password(self, redis_server: RedisServer) -> None:
        redis_server.client().config_set("requirepass", "secret")
        async with following(redis_server.url + "?password=wrong") as watcher:
            await eventually(lambda: watcher.follower.away, "it is noticed")
            redis_server.client_with("secret").config_set("requirepass", "wrong")
            assert await watcher.follower.first_read(20), "the password was corrected"


async def test_a_fault_of_ours_makes_what_is_known_old_too(redis_server: RedisServer) -> None:
    directory, supervisor = Directory(Registry(()), [1]), Supervisor()

    def raises() -> None:
        raise ZeroDivisionError

    directory.on_change(raises)
    follower = follow(
        directory, redis_server.url, KEYS, Targets((ip_network("10.0.0.0/8"),)), supervisor
    )
    assert await follower.first_read(5)
    assert directory.trouble is None
    await announce(redis_server, Heartbeat(transceiver(), 1))
    await eventually(lambda: supervisor.failing == ["registry"], "it fails")
    assert follower.trouble is None
    assert "by a fault of ours" in str(directory.trouble)
    await supervisor.stop()
