"""Relays that share a mirror: one takes over what another one had."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from relay.run.agent import Agent
from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.question import is_question
from tests.relay.conftest import DTLS, RTP, RedisServer, eventually
from tests.relay.run.stage import Stage, stage_on

OTHER = "127.0.0.2"


@pytest.fixture
def stage4(tmp_path: Path) -> Iterator[Stage]:
    yield from stage_on("127.0.0.1", tmp_path)


@asynccontextmanager
async def relay(
    stage: Stage, server: RedisServer, name: str, **changes: Any
) -> AsyncIterator[Agent]:
    """A relay of a name, with an upstream address of its own."""
    hosts = (stage.host,) if name == "a" else (OTHER,)
    admin = stage.config.keys.with_name(f"{name}.sock")
    settings: dict[str, Any] = {"redis": server.url, "name": name, "upstreams": hosts}
    async with stage.relay(admin=admin, **settings | changes) as agent:
        yield agent


async def announced(stage: Stage) -> tuple[Announcement, Endpoint]:
    data, source = await stage.transceiver.receive()
    return Announcement.parse(data, stage.scene.keys), source


async def test_another_relay_takes_over_a_client_that_comes_to_it_and_loses_nothing(
    stage4: Stage, redis_server: RedisServer
) -> None:
    async with relay(stage4, redis_server, "a"):
        before = await stage4.connect()
        await eventually(lambda: _owner(redis_server) == ("a", 1), "the flow is mirrored")
    async with relay(stage4, redis_server, "b") as agent:
        await eventually(lambda: agent.state.dormant == 1, "the flow is known")
        assert agent.state.flow_counts()["confirmed"] == 0
        stage4.client.send(RTP, stage4.vip)  # the first packet of it, and no check
        told, upstream = await announced(stage4)
        assert (told.client, told.epoch) == (stage4.client.address, 2)
        assert upstream.host == OTHER != before.host
        assert await stage4.transceiver.receive() == (RTP, upstream)
        stage4.transceiver.send(DTLS, upstream)
        assert await stage4.client.receive() == (DTLS, stage4.vip)
        assert agent.state.counters()["taken_over"] == 1


async def test_a_relay_that_comes_back_leaves_the_client_where_it_is(
    stage4: Stage, redis_server: RedisServer
) -> None:
    """It has the record of another one, whom the client reaches."""
    async with relay(stage4, redis_server, "a"):
        await stage4.connect()
        await eventually(lambda: _owner(redis_server) == ("a", 1), "the flow is mirrored")
    async with relay(stage4, redis_server, "b") as agent:
        await eventually(lambda: agent.state.dormant == 1, "the flow is known")
        stage4.client.send(RTP, stage4.vip)
        await announced(stage4)
        await stage4.transceiver.receive()
        await eventually(lambda: _owner(redis_server) == ("b", 2), "it is claimed")
    async with relay(stage4, redis_server, "a") as agent:
        await eventually(lambda: agent.state.dormant == 1, "the flow is known")
        assert agent.state.flow_counts()["confirmed"] == 0
        stage4.client.send(RTP, stage4.vip)  # it has come back
        told, _ = await announced(stage4)
        assert told.epoch == 3
        await eventually(lambda: _owner(redis_server) == ("a", 3), "it is claimed")


async def test_a_relay_leaves_a_flow_that_another_one_has_taken_over(
    stage4: Stage, redis_server: RedisServer
) -> None:
    """Both live: the VIP has moved, or routers have come to send clients elsewhere."""
    elsewhere = stage4.vip._replace(host="127.0.0.3")  # as if it were the same
    async with relay(stage4, redis_server, "a") as first:
        await stage4.connect()
        await eventually(lambda: _owner(redis_server) == ("a", 1), "the flow is mirrored")
        vips = (stage4.vip,)
        async with relay(stage4, redis_server, "b", vips=(elsewhere,)) as second:
            mirroring = second._mirroring
            assert mirroring is not None
            flow = next(iter(first._table)).addresses
            mirroring.mirror.claim(flow, 2)  # what it does when a packet of that client comes
            await eventually(
                lambda: first.state.flow_counts()["confirmed"] == 0, "the first one knows"
            )
            assert first.state.counters()["lost_to_another"] == 1
            assert first.state.dormant == 1
        stage4.client.send(RTP, vips[0])
        told, _ = await announced(stage4)
        assert told.epoch == 3


async def test_what_is_under_way_through_a_relay_that_loses_a_flow_arrives(
    stage4: Stage, redis_server: RedisServer
) -> None:
    """The transceiver may hear later than it that the client has moved."""
    elsewhere = stage4.vip._replace(host="127.0.0.3")  # as if it were the same
    async with relay(stage4, redis_server, "a") as first:
        upstream = await stage4.connect()
        await eventually(lambda: _owner(redis_server) == ("a", 1), "the flow is mirrored")
        async with relay(stage4, redis_server, "b", vips=(elsewhere,)) as second:
            assert second._mirroring is not None
            second._mirroring.mirror.claim(next(iter(first._table)).addresses, 2)
            await eventually(lambda: first.state.dormant == 1, "the first one knows")
            stage4.transceiver.send(RTP, upstream)
            assert await stage4.client.receive() == (RTP, stage4.vip)


async def test_a_relay_keeps_a_flow_whose_client_sends_on_though_another_one_has_claimed_it(
    stage4: Stage, redis_server: RedisServer
) -> None:
    """Its client was elsewhere while it was cut off, and is back before it hears of that."""
    elsewhere = stage4.vip._replace(host="127.0.0.3")  # as if it were the same
    async with relay(stage4, redis_server, "a") as first:
        upstream = await stage4.connect()
        await eventually(lambda: _owner(redis_server) == ("a", 1), "the flow is mirrored")
        async with relay(stage4, redis_server, "b", vips=(elsewhere,)) as second:
            assert second._mirroring is not None
            second._mirroring.mirror.claim(next(iter(first._table)).addresses, 2)

            def taken_back() -> bool:
                stage4.client.send(RTP, stage4.vip)
                return _owner(redis_server) == ("a", 3)

            await eventually(taken_back, "it is taken back")
            await eventually(lambda: first.state.dormant == 0, "it is nobody else's")
            assert first.state.counters()["taken_back"] == 1
            assert "lost_to_another" not in first.state.counters()
            told = None
            while told is None:  # among the client's packets, all of which arrive
                data, source = await stage4.transceiver.receive()
                assert source == upstream
                told = None if data == RTP else Announcement.parse(data, stage4.scene.keys)
            assert told.epoch == 3


async def test_a_check_takes_a_client_over_though_the_mirror_was_not_asked(
    stage4: Stage, redis_server: RedisServer
) -> None:
    async with relay(stage4, redis_server, "a"):
        await stage4.connect()
        await eventually(lambda: _owner(redis_server) == ("a", 1), "the flow is mirrored")
    async with relay(stage4, redis_server, "b") as agent:
        await stage4.connect()  # by a check, as if it were new
        told, _ = await announced(stage4)  # once more: its record has a higher epoch
        assert told.epoch == 2
        await eventually(lambda: _owner(redis_server) == ("b", 2), "it is claimed")
        assert agent.state.flow_counts()["confirmed"] == 1


async def test_a_flow_that_began_without_redis_is_claimed_when_it_is_back(
    stage4: Stage, redis_server: RedisServer
) -> None:
    redis_server.stop()
    async with relay(stage4, redis_server, "a") as agent:
        await stage4.connect()
        await eventually(lambda: agent.state.counters().get("mirror_failed", 0) > 0, "it is away")
        redis_server.start()
        await eventually(lambda: _owner(redis_server) == ("a", 1), "it is claimed", limit=20.0)


async def test_a_client_nobody_knows_is_forgotten(stage4: Stage, redis_server: RedisServer) -> None:
    async with relay(stage4, redis_server, "a") as agent:
        stage4.client.send(RTP, stage4.vip)
        await eventually(
            lambda: redis_server.client().info("commandstats").get("cmdstat_get") is not None,
            "it is looked up",
        )
        assert is_question((await stage4.transceiver.receive())[0])  # who says nothing to it
        upstream = await stage4.connect()
        stage4.client.send(DTLS, stage4.vip)
        assert await stage4.transceiver.receive() == (DTLS, upstream)  # and not the RTP of before
        assert agent.state.counters()["unknown_source"] == 1


def _owner(server: RedisServer) -> tuple[str, int] | None:
    for key in server.client().keys("icelane:flow:*"):
        value = server.client().get(key)
        if isinstance(value, bytes):
            record = json.loads(value)
            return record["owner"], record["epoch"]
    return None
