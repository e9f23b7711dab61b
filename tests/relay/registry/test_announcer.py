"""Those who announce themselves, and what Redis does meanwhile."""

import asyncio
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from relay.registry import announcer
from relay.registry.announcer import Announcer, claim_slot, hash_of
from relay.registry.entry import Entry
from relay.registry.store import SlotTakenError
from relay.wire.route import Target
from tests.relay.conftest import RedisServer, eventually
from tests.relay.registry.conftest import KEYS, OTHER, OWNER, following, relay, transceiver
from tests.relay.storefaults import FAULTS, PATIENCE, Fault, Line, each_is_told_once


@dataclass
class Self:
    """Somebody who announces himself."""

    entry: Entry
    asked: int = 0
    lost: list[None] = field(default_factory=list)

    def now(self) -> Entry:
        self.asked += 1
        return self.entry

    def announcer(self, server: RedisServer, owner: str | None = None) -> Announcer:
        lost = lambda: self.lost.append(None)  # noqa: E731
        return Announcer(server.url, KEYS, self.now, owner=owner, lost=lost)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer, "BEAT_EVERY", 0.1)
    monkeypatch.setattr(announcer, "LOOK_EVERY", 0.02)


async def test_he_is_known_until_he_says_goodbye(redis_server: RedisServer) -> None:
    async with following(redis_server.url) as watcher:
        async with Self(relay()).announcer(redis_server).announcing():
            await eventually(lambda: watcher.known == ["relay:fra-1"], "he is known")
        await eventually(lambda: watcher.known == [], "he has gone")


async def test_who_has_a_successor_says_no_goodbye(redis_server: RedisServer) -> None:
    async with following(redis_server.url) as watcher:
        async with Self(relay()).announcer(redis_server).announcing(goes=lambda: False):
            await eventually(lambda: watcher.known == ["relay:fra-1"], "he is known")
        entries = "icelane:registry:{1}:entries"
        assert redis_server.client().hexists(entries, "relay:fra-1")
        assert watcher.known == ["relay:fra-1"]


async def test_whoever_starts_again_is_known_again(redis_server: RedisServer) -> None:
    async with following(redis_server.url) as watcher:
        for _ in range(3):
            async with Self(relay()).announcer(redis_server).announcing():
                await eventually(lambda: watcher.known == ["relay:fra-1"], "he is known")
            await eventually(lambda: watcher.known == [], "he has gone")


async def test_load_is_told_with_the_next_beat_and_draining_at_once(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcer, "BEAT_EVERY", 3600.0)
    me = Self(relay(flows=1))
    async with following(redis_server.url) as watcher, me.announcer(redis_server).announcing():
        await eventually(lambda: watcher.known == ["relay:fra-1"], "he is known")
        me.entry = relay(flows=2)
        asked = me.asked
        await eventually(lambda: me.asked > asked + 1, "it was looked at")
        assert watcher.first() == relay(flows=1)
        me.entry = replace(relay(flows=2), draining=True)
        await eventually(lambda: watcher.first() == me.entry, "it is known")


@pytest.mark.usefixtures("often")
async def test_load_is_told_again_and_again(redis_server: RedisServer) -> None:
    me = Self(relay())
    async with following(redis_server.url) as watcher, me.announcer(redis_server).announcing():
        me.entry = relay(flows=9)
        await eventually(lambda: watcher.first() == me.entry, "it is known")


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: each.name)
async def test_he_announces_himself_again_whatever_became_of_redis(
    redis_server: RedisServer,
    fault: Fault,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("relay.registry.store.TIMEOUT", PATIENCE)
    monkeypatch.setattr("relay.registry.follower.READ_EVERY", 0.2)
    me = Self(relay())
    # A server that is full takes a fleet's entries all the same.
    told = None if fault.name == "full" else fault.told
    async with Line(tmp_path, redis_server).carrying() as line, following(line.url) as watcher:
        mine = Announcer(line.url, KEYS, me.now)
        async with mine.announcing():
            await eventually(lambda: watcher.known == ["relay:fra-1"], "he is known")
            fault.begin(redis_server, line)
            if told is not None:
                said = told
                await eventually(lambda: said in (mine.trouble or ""), "it is noticed", limit=20)
            assert watcher.known == ["relay:fra-1"]
            fault.end(redis_server, line)
            me.entry = relay(flows=50)
            await eventually(lambda: watcher.first() == me.entry, "his news are heard", limit=20)
            await eventually(lambda: mine.trouble is None, "it is over", limit=20)
            assert redis_server.client().hexists("icelane:registry:{1}:entries", "relay:fra-1")
    if told is not None:
        lines = [each.getMessage() for each in caplog.records if each.name == announcer.__name__]
        each_is_told_once(lines, "announced in the registry again")


@pytest.mark.usefixtures("often")
async def test_a_lost_slot_is_told_and_not_taken_back(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    target = await claim_slot(redis_server.url, KEYS, 1, OWNER, slot=7)
    me = Self(transceiver(7, target.generation))
    async with following(redis_server.url) as watcher:
        async with me.announcer(redis_server, OWNER).announcing():
            await eventually(lambda: watcher.known == ["transceiver:7"], "he is known")
            claims = "icelane:registry:{1}:claims"
            redis_server.client().hset(claims, "slot:7", f"1 200 {OTHER}")
            await eventually(lambda: bool(me.lost), "he has lost it")
        assert redis_server.client().hget(claims, "slot:7") == f"1 200 {OTHER}".encode()
        assert redis_server.client().hexists("icelane:registry:{1}:entries", "transceiver:7")
    assert "has another owner by now" in caplog.text


class TestClaim:
    async def test_any_slot_is_the_same_for_the_same_owner(self, redis_server: RedisServer) -> None:
        first = await claim_slot(redis_server.url, KEYS, 1, OWNER, slot=None)
        redis_server.client().flushall()
        again = await claim_slot(redis_server.url, KEYS, 1, OWNER, slot=None)
        assert first.slot == again.slot == 1 + hash_of(OWNER) % ((1 << 24) - 1)

    async def test_a_restart_has_the_next_generation(self, redis_server: RedisServer) -> None:
        first = await claim_slot(redis_server.url, KEYS, 1, OWNER, slot=None)
        again = await claim_slot(redis_server.url, KEYS, 1, OWNER, slot=None)
        assert again == Target(1, first.slot, (first.generation + 1) % 256)

    async def test_it_waits_until_redis_is_there(
        self, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        redis_server.stop()
        claiming = asyncio.create_task(claim_slot(redis_server.url, KEYS, 1, OWNER, slot=5))
        await eventually(lambda: "waiting for Redis" in caplog.text, "it says so")
        redis_server.start()
        assert (await asyncio.wait_for(claiming, 20)).slot == 5

    async def test_a_slot_of_somebody_alive_is_waited_for_a_while_and_then_refused(
        self, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(announcer, "TTL", 0.5)
        monkeypatch.setattr(announcer, "BEAT_EVERY", 0.0)
        await claim_slot(redis_server.url, KEYS, 1, OWNER, slot=5)
        with pytest.raises(SlotTakenError, match="name another one with --slot, or auto"):
            await claim_slot(redis_server.url, KEYS, 1, OTHER, slot=5)
