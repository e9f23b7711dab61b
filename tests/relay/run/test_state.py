"""What an agent that serves tells of itself."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.admin.transport import ask
from relay.config.registry import Registry, Relay
from relay.dataplane.interface import DataplaneChoice
from relay.wire.endpoint import Endpoint
from tests.relay.conftest import FLOWS, RedisServer, eventually
from tests.relay.run.stage import PORTS, Stage, stage_on


@pytest.fixture
def stage4(tmp_path: Path) -> Iterator[Stage]:
    yield from stage_on("127.0.0.1", tmp_path)


async def test_status_tells_flows_and_counters(stage4: Stage) -> None:
    async with stage4.relay() as agent:
        upstream = await stage4.connect()
        status = await asyncio.to_thread(ask, agent.admin_path, "status")
    (flow,) = status["flows"]
    assert flow["client"] == str(stage4.client.address)
    assert flow["upstream"] == str(upstream)
    assert flow["state"] == "confirmed"
    assert flow["to_transceiver"]["packets"] == 1
    assert flow["to_transceiver"]["kernel_packets"] == 0
    assert status["counters"]["confirmed"] == 1
    assert status["dataplane"] == "userspace"


async def test_status_tells_what_the_registry_has_clients_told(stage4: Stage) -> None:
    public = Endpoint("203.0.113.10", 3478)
    transceivers = stage4.scene.registry.transceivers
    stage4.scene.registry = Registry(transceivers, (Relay(stage4.vip, (public,)),))
    async with stage4.relay() as agent:
        status = await asyncio.to_thread(ask, agent.admin_path, "status")
    assert (status["vips"], status["advertised"]) == ([str(stage4.vip)], [str(public)])


async def test_what_is_in_use_is_told_beside_what_there_is(stage4: Stage) -> None:
    async with stage4.relay() as agent:
        assert set(agent.state.used().values()) == {0}
        await stage4.connect()
        used, limits = agent.state.used(), agent.state.limits()
        load = agent.state.load()
    assert used.keys() == limits.keys()
    assert (used["flows"], used["ports"], limits["ports"]) == (1, 1, len(PORTS))
    assert (load.flows, load.room, load.ill) == (1, limits["flows"], False)


async def test_a_mirror_is_told_of_where_there_is_one(
    stage4: Stage, redis_server: RedisServer
) -> None:
    async with stage4.relay() as agent:
        assert agent.state.mirror() is None
        assert (agent.state.overview()["mirror"], agent.state.dormant) == (None, 0)
    client = redis_server.client()
    async with stage4.relay(redis=redis_server.url) as agent:
        await stage4.connect()
        await eventually(lambda: len(client.keys(FLOWS)) == 1, "the flow is mirrored")
        await eventually(lambda: (agent.state.mirror() or (0, 1))[1] == 0, "nothing waits")
        behind = agent.state.mirror()
        assert behind is not None
        told = {"lag_seconds": round(behind[0], 3), "waiting": 0}
        assert agent.state.overview()["mirror"] == told


async def test_a_relay_that_serves_is_ready_until_it_drains(stage4: Stage) -> None:
    async with stage4.relay() as agent:
        assert (agent.state.unready(), agent.state.overview()["ready"]) == ([], True)
        assert agent.state.forwarder is DataplaneChoice.USERSPACE
        agent.drain(on=True)
        assert (agent.state.unready(), agent.state.overview()["ready"]) == (["it drains"], False)
