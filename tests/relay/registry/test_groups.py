"""The registry in Redis Cluster, and through a fail-over that sentinels make."""

import asyncio
from pathlib import Path

import pytest

from relay.registry import announcer
from relay.registry.announcer import Announcer, claim_slot
from tests.relay.conftest import eventually
from tests.relay.redisgroups import redis_cluster, redis_sentinels
from tests.relay.registry.conftest import KEYS, OWNER, following, relay, transceiver


async def test_redis_cluster(tmp_path: Path) -> None:
    with redis_cluster(tmp_path) as url:
        async with asyncio.timeout(60), following(url) as watcher:
            target = await claim_slot(url, KEYS, 1, OWNER, slot=7)
            mine = transceiver(7, target.generation)
            async with Announcer(url, KEYS, lambda: mine, owner=OWNER).announcing():
                await eventually(lambda: watcher.known == ["transceiver:7"], "it is known", 20)
            await eventually(lambda: watcher.known == [], "it has gone", 20)


async def test_a_fail_over_of_sentinels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer, "BEAT_EVERY", 0.5)
    entries = {"flows": 1}
    with redis_sentinels(tmp_path) as (url, master, _):
        async with asyncio.timeout(90), following(url) as watcher:
            mine = Announcer(url, KEYS, lambda: relay(flows=entries["flows"]))
            async with mine.announcing():
                await eventually(lambda: watcher.known == ["relay:fra-1"], "it is known", 20)
                master.kill()
                entries["flows"] = 2
                news = relay(flows=2)
                await eventually(lambda: watcher.first() == news, "the new master tells", 40)
