"""The mirror against a real Redis server."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from relay.core.flowtuple import FlowTuple
from relay.mirror.mirror import Mirror
from relay.mirror.record import PREFIX, key_of
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from tests.relay.conftest import ALICE, MALLORY, VIP, RedisServer, Scene, eventually

V6_VIP = Endpoint("2001:db8:1::10", 3478)


class Watched:
    """A running mirror and what it found."""

    def __init__(self, server: RedisServer, keys: KeyRing) -> None:
        self.found: list[FlowTuple] = []
        self.counters: Counter[str] = Counter()
        self.accepting = asyncio.Event()
        self.accepting.set()
        self.restored: list[float] = []
        self.mirror = Mirror(
            server.url, keys=keys, ttl=60.0, found=self.found.append, counters=self.counters
        )

    async def run(self, vip: Endpoint) -> None:
        await self.mirror.run([vip], self.accepting, self.restored.append)


@asynccontextmanager
async def mirroring(
    server: RedisServer,
    scene: Scene,
    vip: Endpoint = VIP,
    *,
    accepting: bool = True,
) -> AsyncIterator[Watched]:
    watched = Watched(server, scene.keys)
    if not accepting:
        watched.accepting.clear()
    task = asyncio.create_task(watched.run(vip))
    try:
        yield watched
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_stored_flow_is_one_readable_key_with_a_ttl(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    client = redis_server.client()
    async with mirroring(redis_server, scene) as watched:
        watched.mirror.store(flow)
        await eventually(lambda: client.dbsize() == 1, "the record is written")
    assert client.keys() == [b"icelane:flow:203.0.113.10:3478|203.0.113.2:40000"]
    record = json.loads(_record(redis_server, flow))
    assert record["transceiver"] == str(flow.transceiver)
    assert record["upstream"] == str(flow.upstream)
    assert 50 < client.ttl(key_of(flow.client, flow.vip)) <= 60


async def test_forgotten_flow_is_deleted(redis_server: RedisServer, scene: Scene) -> None:
    flow = scene.connect().addresses
    client = redis_server.client()
    async with mirroring(redis_server, scene) as watched:
        watched.mirror.store(flow)
        await eventually(lambda: client.dbsize() == 1, "the record is written")
        watched.mirror.forget(flow)
        await eventually(lambda: client.dbsize() == 0, "the record is deleted")


@pytest.mark.parametrize("vip", [VIP, V6_VIP], ids=["ipv4", "ipv6"])
async def test_start_loads_the_flows_of_its_vips_only(
    redis_server: RedisServer, scene: Scene, vip: Endpoint
) -> None:
    mine = scene.connect().addresses._replace(vip=vip)
    other = mine._replace(vip=Endpoint("203.0.113.11", 3478))
    client = redis_server.client()
    async with mirroring(redis_server, scene) as watched:
        watched.mirror.store(mine)
        watched.mirror.store(other)
        await eventually(lambda: client.dbsize() == 2, "both records are written")
    async with mirroring(redis_server, scene, vip=vip) as again:
        await eventually(lambda: bool(again.found), "the flow is loaded")
    assert again.found == [mine]


async def test_flows_are_read_before_they_can_be_accepted_and_kept_until_then(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    client = redis_server.client()
    async with mirroring(redis_server, scene) as watched:
        watched.mirror.store(flow)
        await eventually(lambda: client.dbsize() == 1, "the record is written")
    before = _calls(redis_server, "cmdstat_get")
    async with mirroring(redis_server, scene, accepting=False) as again:
        await eventually(lambda: _calls(redis_server, "cmdstat_get") > before, "it is read")
        assert (again.found, again.restored) == ([], [])
        again.accepting.set()
        await eventually(lambda: len(again.restored) == 1, "it is told that all are restored")
        assert again.found == [flow]


async def test_a_record_is_signed_when_its_turn_comes_and_not_while_packets_wait(
    redis_server: RedisServer, scene: Scene
) -> None:
    foreign = scene.connect().addresses._replace(route=bytes(21))  # no key of ours has signed it
    async with mirroring(redis_server, scene) as watched:
        watched.mirror.store(foreign)
        assert watched.counters["mirror_unsigned"] == 0
        await eventually(lambda: watched.counters["mirror_unsigned"] == 1, "it is signed")
    assert redis_server.client().dbsize() == 0


async def test_unknown_client_is_looked_up_once(redis_server: RedisServer, scene: Scene) -> None:
    flow = scene.connect().addresses
    async with mirroring(redis_server, scene) as watched:
        # Not there at the start, so that only the look-up can find it.
        await eventually(lambda: _asked(redis_server) > 0, "the start is over")
        watched.mirror.store(flow)
        watched.mirror.recall(ALICE, VIP)
        watched.mirror.recall(ALICE, VIP)
        watched.mirror.recall(MALLORY, VIP)
        await eventually(lambda: bool(watched.found), "the flow is found")
        watched.mirror.store(flow)
        await eventually(lambda: _written(redis_server) == 2, "the queue is served")
    assert watched.found == [flow]
    assert redis_server.client().info("commandstats")["cmdstat_get"]["calls"] == 2


async def test_record_that_was_tampered_with_is_refused(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    client = redis_server.client()
    async with mirroring(redis_server, scene) as watched:
        watched.mirror.store(flow)
        await eventually(lambda: client.dbsize() == 1, "the record is written")
    key = key_of(flow.client, flow.vip)
    value = _record(redis_server, flow)
    steered = json.loads(value) | {"transceiver": "127.0.0.1:6379"}
    client.set(key, json.dumps(steered))
    client.set(key_of(MALLORY, VIP), value)  # a good record under another client's key
    client.set(f"{PREFIX}{VIP}|nobody", value)
    client.set(f"{PREFIX}{VIP}|203.0.113.9:1", b"\xff{")
    async with mirroring(redis_server, scene) as again:
        await eventually(
            lambda: again.counters["mirror_record_refused"] == 4, "all four are refused"
        )
    assert again.found == []


async def test_outage_loses_only_the_mirror(redis_server: RedisServer, scene: Scene) -> None:
    flow = scene.connect().addresses
    async with mirroring(redis_server, scene) as watched:
        await eventually(lambda: _asked(redis_server) > 0, "the start is over")
        redis_server.stop()
        watched.mirror.store(flow)
        await eventually(lambda: watched.counters["mirror_lost"] == 1, "the write is counted")
        redis_server.start()
        watched.mirror.store(flow)
        await eventually(lambda: redis_server.client().dbsize() == 1, "a later write arrives")


async def test_redis_that_comes_late_is_loaded_all_the_same(
    redis_server: RedisServer, scene: Scene
) -> None:
    redis_server.stop()
    async with mirroring(redis_server, scene) as watched:
        await eventually(lambda: watched.counters["mirror_failed"] > 0, "the first try fails")
        redis_server.start()
        await eventually(lambda: _asked(redis_server) > 0, "the flows are asked for")


async def test_malformed_url_is_refused() -> None:
    with pytest.raises(ValueError, match="redis://"):
        Mirror(
            "http://x",
            keys=KeyRing({0: bytes(32)}, 0),
            ttl=1,
            found=lambda _: None,
            counters=Counter(),
        )


def _record(server: RedisServer, flow: FlowTuple) -> bytes:
    value = server.client().get(key_of(flow.client, flow.vip))
    assert isinstance(value, bytes)
    return value


def _asked(server: RedisServer) -> int:
    return _calls(server, "cmdstat_scan")


def _written(server: RedisServer) -> int:
    return _calls(server, "cmdstat_set")


def _calls(server: RedisServer, name: str) -> int:
    statistics = server.client().info("commandstats")
    return int(statistics.get(name, {"calls": 0})["calls"])


async def test_cancellation_at_any_moment_ends_it(redis_server: RedisServer, scene: Scene) -> None:
    for steps in range(40):
        watched = Watched(redis_server, scene.keys)
        task = asyncio.create_task(watched.run(VIP))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5.0)
        assert done, f"cancelled after {steps} steps, and still running"
