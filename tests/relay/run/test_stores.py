"""A relay and its calls while Redis has each of its faults, alone and as a cluster."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from relay.core.limits import Limits
from relay.run.agent import Agent
from relay.run.config import RelayConfig
from tests.relay.conftest import FLOWS, RTP, RedisServer, eventually
from tests.relay.redisgroups import redis_sentinels, replicated_cluster
from tests.relay.run.stage import Peer, Stage, stage_on
from tests.relay.storefaults import FAULTS, PATIENCE, Fault, Line, each_is_told_once

OTHER = "127.0.0.2"


@pytest.fixture
def stage4(tmp_path: Path) -> Iterator[Stage]:
    yield from stage_on("127.0.0.1", tmp_path)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing in the mirror is written soon, and a store that is slow is away soon."""
    limits = Limits(store_every=0.3, claim_every=0.3)
    monkeypatch.setattr(RelayConfig, "limits", property(lambda _: limits))
    monkeypatch.setattr("relay.run.agent.SWEEP_EVERY", 0.1)
    for module in ("relay.run.mirroring", "relay.registry.store"):
        monkeypatch.setattr(f"{module}.TIMEOUT", PATIENCE)
    monkeypatch.setattr("relay.mirror.mirror.RETRY_AFTER", 0.1)
    monkeypatch.setattr("relay.registry.follower.LONGEST_PAUSE", 0.2)


@asynccontextmanager
async def relay(stage: Stage, url: str, name: str = "a") -> AsyncIterator[Agent]:
    hosts = (stage.host,) if name == "a" else (OTHER,)
    admin = stage.config.keys.with_name(f"{name}.sock")
    async with stage.relay(redis=url, name=name, upstreams=hosts, admin=admin) as agent:
        yield agent


class Talk:
    """A client's packets to and fro, numbered, each of which has to arrive."""

    def __init__(self, stage: Stage, client: Peer) -> None:
        self._stage = stage
        self._client = client
        self._number = 0

    async def connect(self) -> None:
        self._stage.client = self._client
        self._upstream = await self._stage.connect()

    async def say(self) -> None:
        """A packet each way."""
        self._number += 1
        data = RTP + self._number.to_bytes(4, "big")
        self._client.send(data, self._stage.vip)
        while (await self._stage.transceiver.receive()) != (data, self._upstream):
            pass  # announcements to others
        self._stage.transceiver.send(data, self._upstream)
        assert await self._client.receive() == (data, self._stage.vip)


@asynccontextmanager
async def talking(stage: Stage) -> AsyncIterator[Callable[[], Any]]:
    """A client with a flow; gives what makes another one."""
    peers: list[Peer] = []

    async def one_more() -> Talk:
        peers.append(Peer(stage.host))
        talk = Talk(stage, peers[-1])
        await talk.connect()
        return talk

    own = stage.client
    try:
        yield one_more
    finally:
        stage.client = own
        for peer in peers:
            peer.close()


async def until(condition: Callable[[], bool], what: str, *talks: Talk) -> None:
    """Wait for something, while all talk and nothing of it is lost."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 30.0
    while not condition():
        assert loop.time() < deadline, what
        for talk in talks:
            await talk.say()
        await asyncio.sleep(0.02)


def trouble(agent: Agent) -> str | None:
    """What an operator is told of the mirror."""
    mirror = agent.state.tasks()["mirror"]
    assert (mirror["state"] == "failing") == (mirror["error"] is not None)
    text: str | None = mirror["error"]
    return text


def owners(client: redis.Redis | redis.RedisCluster) -> list[str]:
    """Who owns the flows that the mirror has."""
    try:
        values = [client.get(key) for key in client.scan_iter(FLOWS)]
    except (redis.RedisError, redis.exceptions.RedisClusterException):
        return []
    return [json.loads(each)["owner"] for each in values if isinstance(each, bytes)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: each.name)
async def test_flows_go_on_and_new_ones_come_whatever_becomes_of_redis(
    stage4: Stage,
    redis_server: RedisServer,
    fault: Fault,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with (
        Line(tmp_path, redis_server).carrying() as line,
        relay(stage4, line.url) as agent,
        talking(stage4) as one_more,
    ):
        old = await one_more()
        client = redis_server.client()
        await until(lambda: owners(client) == ["a"], "it is mirrored", old)
        fault.begin(redis_server, line)
        await old.say()
        new = await one_more()
        if fault.told is not None:
            said = fault.told
            await until(lambda: said in (trouble(agent) or ""), "it is noticed", old, new)
            assert not agent.state.unready()
        fault.end(redis_server, line)
        await until(lambda: trouble(agent) is None, "it is over", old, new)
        await until(lambda: owners(client) == ["a", "a"], "both are mirrored", old, new)
    if fault.told is not None:
        told = [each.getMessage() for each in caplog.records if each.name == "relay.mirror.mirror"]
        each_is_told_once(told, "Redis is back")


async def test_what_is_in_a_store_that_takes_no_writes_is_restored_from_it(
    stage4: Stage, redis_server: RedisServer
) -> None:
    client = redis_server.client()
    async with relay(stage4, redis_server.url):
        await stage4.connect()
        await eventually(lambda: owners(client) == ["a"], "it is mirrored")
    client.config_set("min-replicas-to-write", 1)
    async with relay(stage4, redis_server.url) as agent:
        await eventually(lambda: agent.state.counters().get("restored") == 1, "it is restored")


async def test_calls_and_mirror_survive_the_fail_over_of_a_redis_cluster(
    stage4: Stage, tmp_path: Path
) -> None:
    with replicated_cluster(tmp_path) as cluster:
        client = cluster.client()
        async with relay(stage4, cluster.url) as agent, talking(stage4) as one_more:
            talks = [await one_more() for _ in range(6)]
            await until(lambda: owners(client) == ["a"] * 6, "they are mirrored", *talks)
            key = next(iter(client.scan_iter(FLOWS))).decode()
            cluster.master_of(key).kill()
            talks.append(await one_more())
            await until(lambda: trouble(agent) is not None, "it is noticed", *talks)
            await until(lambda: trouble(agent) is None, "another one has taken over", *talks)
            await until(lambda: len(owners(client)) == 7, "all are mirrored", *talks)
            assert client.exists(key)
        async with relay(stage4, cluster.url, "b") as second:
            await eventually(
                lambda: second.state.dormant == 7, "all are known elsewhere", limit=20.0
            )


async def test_calls_and_mirror_survive_a_fail_over_by_sentinels(
    stage4: Stage, tmp_path: Path
) -> None:
    with redis_sentinels(tmp_path) as (url, master, client):
        async with relay(stage4, url) as agent, talking(stage4) as one_more:
            talk = await one_more()
            await until(lambda: len(owners(client)) == 1, "it is mirrored", talk)
            master.kill()
            new = await one_more()
            await until(lambda: trouble(agent) is not None, "it is noticed", talk, new)
            await until(lambda: trouble(agent) is None, "another one has taken over", talk, new)
            await until(lambda: len(owners(client)) == 2, "both are mirrored", talk, new)
        async with relay(stage4, url, "b") as second:
            await eventually(
                lambda: second.state.dormant == 2, "both are known elsewhere", limit=20.0
            )
