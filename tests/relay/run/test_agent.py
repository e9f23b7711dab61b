"""The agent on real sockets, with clients and transceivers that are plain UDP sockets."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from relay.admin.transport import ask
from relay.core.flowtuple import FlowTuple
from relay.errors import AdminError, BindError, DataplaneError
from relay.forwarding.ends import Ends
from relay.mirror import reading
from relay.wire import stun
from relay.wire.endpoint import Endpoint
from relay.wire.question import is_question
from tests.relay.conftest import DTLS, FLOWS, RTP, RedisServer, eventually
from tests.relay.run.stage import PORTS, WAIT, MemoryDataplane, Peer, Stage, stage_on

if TYPE_CHECKING:
    from relay.dataplane.interface import Dataplane


@pytest.fixture(params=["127.0.0.1", "::1"], ids=["ipv4", "ipv6"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    yield from stage_on(request.param, tmp_path)


@pytest.fixture
def stage4(tmp_path: Path) -> Iterator[Stage]:
    yield from stage_on("127.0.0.1", tmp_path)


async def test_call_goes_through_in_both_directions(stage: Stage) -> None:
    async with stage.relay() as agent:
        upstream = await stage.connect()
        assert upstream.host == stage.host
        assert upstream.port in PORTS
        for data in (DTLS, RTP):
            stage.client.send(data, stage.vip)
            assert await stage.transceiver.receive() == (data, upstream)
            stage.transceiver.send(data, upstream)
            assert await stage.client.receive() == (data, stage.vip)
        counters = agent.state.counters()
    assert counters["forwarded_to_transceivers"] == 3
    assert counters["forwarded_to_clients"] == 3


@pytest.mark.parametrize("size", [0, 1, 1_500, 9_000, 65_000])
async def test_datagrams_of_any_size_go_through(stage: Stage, size: int) -> None:
    data = bytes([0x80]) * size
    async with stage.relay() as agent:
        upstream = await stage.connect()
        # Twice: what is in a batch with the first must not tell about the second.
        for each in (RTP, data, data):
            stage.client.send(each, stage.vip)
            assert await stage.transceiver.receive() == (each, upstream)
            stage.transceiver.send(each, upstream)
            assert await stage.client.receive() == (each, stage.vip)
        (flow,) = (await asyncio.to_thread(ask, agent.admin_path, "status"))["flows"]
    for direction in ("to_transceiver", "to_client"):
        assert flow[direction]["packets"] == 4  # and a check, or its answer
        assert flow[direction]["bytes"] - 2 * size - len(RTP) in range(20, 200)
    assert flow["idle_seconds"] < WAIT


async def test_flow_is_installed_before_the_success_arrives(stage4: Stage) -> None:
    dataplane = MemoryDataplane()
    async with stage4.relay(dataplane):
        upstream = await stage4.connect()
        assert dataplane.installed == [
            FlowTuple(
                stage4.client.address,
                stage4.vip,
                upstream,
                stage4.transceiver.address,
                dataplane.installed[0].route,
            )
        ]


async def test_full_dataplane_refuses_and_says_so_once(
    stage4: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage4.relay(MemoryDataplane(room=0)) as agent:
        for _ in range(3):
            request, upstream = await stage4.check()
            stage4.transceiver.send(stage4.scene.answer(request), upstream)
            await eventually(
                lambda: not agent.state.flow_counts()["confirmed"], "the flow is given up"
            )
            await eventually(
                lambda: not agent.state.flow_counts()["pending"], "the flow is given up"
            )
        assert agent.state.counters()["given_up"] == 3
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert [each.getMessage() for each in errors] == ["a new flow was refused: no room"]


async def test_only_the_flows_transceiver_is_heard(stage4: Stage) -> None:
    async with stage4.relay():
        upstream = await stage4.connect()
        stranger = Peer(stage4.host)
        stranger.send(b"\x80stranger", upstream)
        stage4.transceiver.send(RTP, upstream)
        assert await stage4.client.receive() == (RTP, stage4.vip)
        stranger.close()


async def test_refused_datagram_at_the_transceiver_ends_nothing(stage4: Stage) -> None:
    async with stage4.relay() as agent:
        upstream = await stage4.connect()
        address = stage4.transceiver.address
        stage4.transceiver.close()  # what is sent now comes back as an ICMP error
        for _ in range(3):
            stage4.client.send(RTP, stage4.vip)
        await eventually(
            lambda: agent.state.counters()["forwarded_to_transceivers"] == 4, "they were sent"
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(address)
            again.sendto(RTP, upstream)
            assert await stage4.client.receive() == (RTP, stage4.vip)
            stage4.client.send(DTLS, stage4.vip)
            again.settimeout(WAIT)
            assert (await asyncio.to_thread(again.recv, 4096)) == DTLS


async def test_upstream_port_of_another_process_is_avoided(stage4: Stage) -> None:
    async with stage4.relay():
        expected = await stage4.connect()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(expected)
        async with stage4.relay():
            assert (await stage4.connect()).port == expected.port + 1


async def test_pinned_flows_are_adopted_with_their_ports(stage4: Stage) -> None:
    dataplane = MemoryDataplane()
    async with stage4.relay(dataplane):
        upstream = await stage4.connect()
    dataplane.steers = True
    async with stage4.relay(dataplane) as agent:
        assert (agent.state.counters()["adopted"], agent.state.flow_counts()["confirmed"]) == (1, 1)
        stage4.client.send(RTP, stage4.vip)
        assert await stage4.transceiver.receive() == (RTP, upstream)
        assert agent.state.flow_counts()["confirmed"] == 1


async def test_flow_survives_the_loss_of_everything_but_redis(
    stage4: Stage, redis_server: RedisServer
) -> None:
    client = redis_server.client()
    async with stage4.relay(redis=redis_server.url):
        upstream = await stage4.connect()
        await eventually(lambda: len(client.keys(FLOWS)) == 1, "the flow is mirrored")
    async with stage4.relay(redis=redis_server.url) as agent:
        await eventually(
            lambda: agent.state.flow_counts()["confirmed"] == 1, "the flow is restored"
        )
        assert await stage4.announced() == upstream
        stage4.client.send(RTP, stage4.vip)
        assert await stage4.transceiver.receive() == (RTP, upstream)
        stage4.transceiver.send(RTP, upstream)
        assert await stage4.client.receive() == (RTP, stage4.vip)


async def test_client_of_a_lost_flow_is_recalled_by_its_next_packet(
    stage4: Stage, redis_server: RedisServer
) -> None:
    client = redis_server.client()
    async with stage4.relay(redis=redis_server.url):
        upstream = await stage4.connect()
        await eventually(lambda: len(client.keys(FLOWS)) == 1, "the flow is mirrored")
    (key,) = client.keys(FLOWS)
    value = client.get(key)
    assert isinstance(value, bytes)
    client.delete(key)
    async with stage4.relay(redis=redis_server.url) as agent:
        # Once for each start, and for each beginning to listen to others.
        await eventually(
            lambda: client.info("commandstats")["cmdstat_scan"]["calls"] == 4, "the start is over"
        )
        client.set(key, value)
        stage4.client.send(RTP, stage4.vip)
        assert await stage4.announced() == upstream
        data, _ = await stage4.transceiver.receive()
        assert data == RTP, "the packet that asked was lost"
        assert agent.state.counters()["restored"] == 1


async def test_flows_are_read_from_redis_while_the_dataplane_is_loaded(
    stage4: Stage, redis_server: RedisServer
) -> None:
    client = redis_server.client()
    async with stage4.relay(redis=redis_server.url):
        await stage4.connect()
        await eventually(lambda: len(client.keys(FLOWS)) == 1, "the flow is mirrored")
    reads = _reads(client)
    loading: asyncio.Future[Dataplane] = asyncio.get_running_loop().create_future()
    dataplane = MemoryDataplane()

    async def loaded_once_redis_was_read() -> None:
        await eventually(lambda: _reads(client) > reads, "the flow is read")
        assert not dataplane.installed
        loading.set_result(dataplane)

    loader = asyncio.create_task(loaded_once_redis_was_read())
    async with stage4.relay(loading, redis=redis_server.url) as agent:
        await loader
        await eventually(lambda: len(dataplane.installed) == 1, "the flow is restored")
        status = await asyncio.to_thread(ask, agent.admin_path, "status")
        assert status["start"]["restored_flows"] == 1
        assert status["start"]["restore_ms"] is not None


async def test_flows_that_were_read_are_restored_before_the_first_packet(
    stage4: Stage, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = redis_server.client()
    async with stage4.relay(redis=redis_server.url):
        await stage4.connect()
        await eventually(lambda: len(client.keys(FLOWS)) == 1, "the flow is mirrored")
    dataplane = MemoryDataplane()
    loading: asyncio.Future[Dataplane] = asyncio.get_running_loop().create_future()
    read, listen = reading.read, Ends.listen
    installed: list[int] = []

    async def read_then_loaded(*arguments: Any) -> AsyncIterator[Any]:
        async for batch in read(*arguments):
            yield batch
        if not loading.done():
            loading.set_result(dataplane)

    def listened(ends: Ends) -> None:
        installed.append(len(dataplane.installed))
        listen(ends)

    monkeypatch.setattr("relay.mirror.mirror.read", read_then_loaded)
    monkeypatch.setattr(Ends, "listen", listened)
    async with stage4.relay(loading, redis=redis_server.url):
        assert installed == [1]


async def test_a_dataplane_that_cannot_be_had_ends_the_start(
    stage4: Stage, redis_server: RedisServer
) -> None:
    loading: asyncio.Future[Dataplane] = asyncio.get_running_loop().create_future()
    loading.set_exception(DataplaneError("no interface"))
    with pytest.raises(DataplaneError, match="no interface"):
        async with stage4.relay(loading, redis=redis_server.url):
            pytest.fail("it serves")
    assert not stage4.config.admin_path.exists()


async def test_dead_redis_delays_nothing(stage4: Stage) -> None:
    async with stage4.relay(redis="redis://127.0.0.1:1/0"):
        upstream = await stage4.connect()
        stage4.client.send(RTP, stage4.vip)
        assert await stage4.transceiver.receive() == (RTP, upstream)


async def test_second_agent_of_an_instance_is_refused(stage4: Stage) -> None:
    async with stage4.relay():
        with pytest.raises(AdminError, match="another agent runs"):
            async with stage4.relay():
                pass
        await stage4.connect()  # the first one was not disturbed


async def test_address_of_another_host_is_refused_in_words(stage4: Stage) -> None:
    with pytest.raises(BindError, match="this host does not have that address"):
        async with stage4.relay(vips=(Endpoint("198.51.100.77", 3478),)):
            pass


async def test_taken_vip_is_refused_and_leaves_nothing_behind(stage4: Stage) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(stage4.relay())
        other = stage4.config.admin.with_name("other.sock")  # type: ignore[union-attr]
        with pytest.raises(BindError, match="another process has that port"):
            async with stage4.relay(admin=other):
                pass
        assert not other.exists()


async def test_junk_flood_leaves_no_flow_and_no_log(
    stage4: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage4.relay() as agent:
        for number in range(1000):
            stage4.client.send(number.to_bytes(2, "big") * 10, stage4.vip)
        forged = stun.Message(
            stun.MessageClass.REQUEST,
            stun.BINDING,
            bytes(12),
            ((stun.Attribute.USERNAME, b"A" * 28 + b":peer"),),
        ).serialize(b"x")
        stage4.client.send(forged, stage4.vip)
        stage4.client.send(DTLS, stage4.vip)
        await eventually(
            lambda: agent.state.counters().get("received_from_clients") == 1002, "all have come"
        )
        assert agent.state.flow_counts() == {"pending": 0, "confirmed": 0}
        assert is_question((await stage4.transceiver.receive())[0])  # whose the DTLS is
        await stage4.connect()
    assert [each for each in caplog.records if each.levelno > logging.INFO] == []


def _reads(client: redis.Redis) -> int:
    """How many records Redis was asked for."""
    statistics = client.info("commandstats")
    return int(statistics.get("cmdstat_get", {"calls": 0})["calls"])
