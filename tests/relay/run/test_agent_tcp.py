"""The agent with clients over TCP, on real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from relay.admin.transport import ask
from relay.core.flow import Instant
from relay.core.limits import Limits
from relay.dataplane.interface import Dataplane, DataplaneChoice
from relay.run.agent import Agent
from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.framing import frame
from relay.wire.transport import Transport
from tests.relay.conftest import DTLS, FLOWS, JUNK, RTP, RedisServer, eventually
from tests.relay.forwarding.tcppair import TcpClient
from tests.relay.run.stage import MemoryDataplane, Stage, stage_on

TCP_PORTS = range(21_000, 21_100)


class TcpStage:
    """A relay's surroundings; clients connect to the VIP's own address and port."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @property
    def vip(self) -> Endpoint:
        return self.stage.vip

    @asynccontextmanager
    async def relay(
        self, dataplane: Dataplane | None = None, **changes: Any
    ) -> AsyncIterator[Agent]:
        settings = {"tcp": (self.vip,), "tcp_ports": TCP_PORTS} | changes
        async with self.stage.relay(dataplane, **settings) as agent:
            yield agent

    async def check(
        self, client: TcpClient, request: bytes | None = None
    ) -> tuple[bytes, Endpoint]:
        """A client's first check, and where from the transceiver got it."""
        request = request or self.stage.scene.request()
        await client.send(request)
        announcement, upstream = await self.stage.transceiver.receive()
        told = Announcement.parse(announcement, self.stage.scene.keys)
        assert (told.client, told.vip, told.upstream) == (client.address, self.vip, upstream)
        assert told.transport is Transport.TCP
        assert await self.stage.transceiver.receive() == (request, upstream)
        return request, upstream

    async def connect(self, client: TcpClient) -> Endpoint:
        """A check and its success; the upstream address."""
        request, upstream = await self.check(client)
        success = self.stage.scene.answer(request)
        self.stage.transceiver.send(success, upstream)
        assert await client.receive() == success
        return upstream

    async def talk(self, client: TcpClient, upstream: Endpoint) -> None:
        """Media in both directions."""
        for data in (DTLS, RTP):
            await client.send(data)
            assert await self.stage.transceiver.receive() == (data, upstream)
            self.stage.transceiver.send(data, upstream)
            assert await client.receive() == data


@pytest.fixture(params=["127.0.0.1", "::1"], ids=["ipv4", "ipv6"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TcpStage]:
    yield from map(TcpStage, stage_on(request.param, tmp_path))


@pytest.fixture
def stage4(tmp_path: Path) -> Iterator[TcpStage]:
    yield from map(TcpStage, stage_on("127.0.0.1", tmp_path))


async def test_a_call_goes_through_in_both_directions(stage: TcpStage) -> None:
    async with stage.relay() as agent:
        with TcpClient(stage.vip) as client:
            upstream = await stage.connect(client)
            assert upstream.port in TCP_PORTS
            await stage.talk(client, upstream)
            status = await asyncio.to_thread(ask, agent.admin_path, "status")
    (flow,) = status["flows"]
    assert (flow["client"], flow["transport"]) == (str(client.address), "tcp")
    assert (flow["vip"], flow["state"]) == (str(stage.vip), "confirmed")
    assert (flow["to_transceiver"]["packets"], flow["to_client"]["packets"]) == (3, 3)
    assert status["tcp"] == [str(stage.vip)]
    assert status["counters"]["tcp_accepted"] == 1


async def test_two_calls_and_one_over_udp_at_once(stage4: TcpStage) -> None:
    async with stage4.relay():
        with TcpClient(stage4.vip) as one, TcpClient(stage4.vip) as other:
            upstreams = [await stage4.connect(one), await stage4.connect(other)]
            upstreams.append(await stage4.stage.connect())
            assert len(set(upstreams)) == 3
            for client, upstream in zip((one, other), upstreams, strict=False):
                await stage4.talk(client, upstream)
            stage4.stage.transceiver.send(RTP, upstreams[2])
            assert await stage4.stage.client.receive() == (RTP, stage4.vip)


async def test_it_is_neither_installed_nor_mirrored(
    stage4: TcpStage, redis_server: RedisServer
) -> None:
    dataplane, server = MemoryDataplane(), redis_server.client()
    async with stage4.relay(dataplane, redis=redis_server.url) as agent:
        with TcpClient(stage4.vip) as client:
            await stage4.connect(client)
            await stage4.stage.connect()
            await eventually(lambda: len(server.keys(FLOWS)) == 1, "the flow over UDP is mirrored")
            (key,) = server.keys(FLOWS)
            assert str(stage4.stage.client.address).encode() in key
            (installed,) = dataplane.installed
            assert installed.client == stage4.stage.client.address
            # Nor is the mirror asked for who is not known.
            await client.send(RTP)
            with TcpClient(stage4.vip) as stranger:
                await stranger.send(RTP)
                assert await stranger.is_ended()
            assert agent._mirroring is not None
            assert not agent._mirroring.mirror._asked._questions


async def test_nor_when_the_kernel_takes_over(
    stage4: TcpStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataplane = MemoryDataplane()
    monkeypatch.setattr("relay.run.keeper.open_xdp", lambda *_, **__: dataplane)
    async with stage4.relay() as agent:
        with TcpClient(stage4.vip) as client:
            upstream = await stage4.connect(client)
            await stage4.stage.connect()
            await agent.switch(DataplaneChoice.XDP)
            assert [each.client for each in dataplane.installed] == [stage4.stage.client.address]
            await stage4.talk(client, upstream)


@pytest.mark.parametrize(
    "first", [DTLS, RTP, JUNK, b"\x00\x01\x00\x00"], ids=["dtls", "rtp", "junk", "cut stun"]
)
async def test_a_first_frame_that_is_no_check_ends_it_and_opens_nothing(
    stage4: TcpStage, first: bytes
) -> None:
    async with stage4.relay() as agent:
        with TcpClient(stage4.vip) as client:
            await client.send(first, stage4.stage.scene.request())
            assert await client.is_ended()
        assert agent.state.flow_counts() == {"pending": 0, "confirmed": 0}
        assert agent.state.counters()["tcp_refused"] == 1
        await stage4.stage.connect()  # others notice nothing


async def test_a_forged_or_foreign_route_ends_it(stage4: TcpStage) -> None:
    scene = stage4.stage.scene
    good = scene.ufrag()
    forged = good[:-1] + ("A" if good[-1] != "A" else "B")
    async with stage4.relay() as agent:
        for ufrag in (forged, scene.ufrag(scene.registry.transceivers[0].target._replace(slot=9))):
            with TcpClient(stage4.vip) as client:
                await client.send(scene.request(ufrag))
                assert await client.is_ended()
        assert agent.state.counters()["bad_route"] == 1
        assert agent.state.counters()["no_transceiver"] == 1


async def test_media_before_the_transceivers_success_goes_nowhere(stage4: TcpStage) -> None:
    async with stage4.relay() as agent:
        with TcpClient(stage4.vip) as client:
            request, upstream = await stage4.check(client)
            await client.send(RTP)
            stage4.stage.transceiver.send(RTP, upstream)
            await eventually(lambda: "pending_not_stun" in agent.state.counters(), "it is dropped")
            assert agent.state.counters()["unknown_source"] == 1
            stage4.stage.transceiver.send(stage4.stage.scene.answer(request), upstream)
            assert await client.receive() == stage4.stage.scene.answer(request)
            await stage4.talk(client, upstream)


async def test_one_ufrag_opens_few_flows_however_often_its_bearer_connects(
    stage4: TcpStage,
) -> None:
    request = stage4.stage.scene.request()
    opened = 0
    async with stage4.relay() as agent:
        for number in range(20):
            with TcpClient(stage4.vip) as client:
                await client.send(request)
                await _has_seen(agent, number + 1)
            opened = agent.state.counters()["tcp_accepted"] - agent.state.counters().get(
                "tcp_refused", 0
            )
        assert opened == Limits().pending_per_route
        await eventually(lambda: not agent.state.flow_counts()["pending"], "all flows end")
        assert agent.state.counters()["pending_per_route_full"] == 20 - opened


async def _has_seen(agent: Agent, clients: int) -> None:
    """Wait until each of so many clients was refused or has, or had, a flow."""

    def seen() -> int:
        counters = agent.state.counters()
        refused, ended = (counters.get(f"tcp_{each}", 0) for each in ("refused", "closed"))
        return refused + ended + agent.state.flow_counts()["pending"]

    await eventually(lambda: seen() == clients, f"{clients} clients were seen")


async def test_the_flow_ends_with_the_connection_and_its_port_is_released(
    stage4: TcpStage,
) -> None:
    async with stage4.relay() as agent:
        with TcpClient(stage4.vip) as client:
            upstream = await stage4.connect(client)
        await eventually(lambda: not agent.state.flow_counts()["confirmed"], "the flow ends")
        assert agent.state.counters()["disconnected"] == 1
        # Its socket is closed; the port rests before somebody else has it.
        stage4.stage.transceiver.send(RTP, upstream)
        with TcpClient(stage4.vip) as again:
            assert await stage4.connect(again) != upstream


async def test_the_connection_ends_with_its_flow(stage4: TcpStage) -> None:
    async with stage4.relay() as agent:
        with TcpClient(stage4.vip) as client:
            await stage4.check(client)
            (flow,) = agent._table
            agent._executor.execute(
                agent._table.lifecycle.give_up(flow, Instant(flow.last_from_client, 0.0))
            )
            assert await client.is_ended()


async def test_a_restart_ends_connections_and_clients_come_again(stage4: TcpStage) -> None:
    dataplane = MemoryDataplane()
    async with stage4.relay(dataplane):
        client = TcpClient(stage4.vip)
        over_udp = await stage4.stage.connect()
        await stage4.connect(client)
    with client:
        assert await client.is_ended()
    dataplane.steers = True
    async with stage4.relay(dataplane) as agent:
        assert agent.state.counters()["adopted"] == 1  # the one over UDP goes on as it was
        stage4.stage.client.send(RTP, stage4.vip)
        assert await stage4.stage.transceiver.receive() == (RTP, over_udp)
        with TcpClient(stage4.vip) as again:
            await stage4.talk(again, await stage4.connect(again))


async def test_a_relay_that_is_not_told_of_tcp_takes_none(stage4: TcpStage) -> None:
    async with stage4.stage.relay():
        with pytest.raises(OSError, match="refused"):
            TcpClient(stage4.vip)


async def test_icmp_about_its_way_to_the_transceiver_is_not_passed_on(stage4: TcpStage) -> None:
    async with stage4.relay() as agent:
        with TcpClient(stage4.vip) as client:
            upstream = await stage4.connect(client)
            transceiver = stage4.stage.transceiver.address
            assert agent._find_sent(upstream, transceiver) is None
            assert agent._find_sent(stage4.vip, client.address) is None
            other = await stage4.stage.connect()
            assert agent._find_sent(other, transceiver) is not None


async def test_a_flood_of_rubbish_leaves_no_flow_no_log_and_a_relay_that_serves(
    stage4: TcpStage, caplog: pytest.LogCaptureFixture
) -> None:
    rubbish = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512),  # TLS
        b"GET / HTTP/1.1\r\nHost: example\r\n\r\n",
        json.dumps({"sdp": "v=0"}).encode(),
        frame(bytes(1)) * 500,
        frame(bytes(2048)),
        frame(b"\x00\x01\x00\x08" + b"\x21\x12\xa4\x42" + bytes(20)),
        b"\xff" * 5000,
    ]
    async with stage4.relay() as agent:
        for data in rubbish * 20:
            with TcpClient(stage4.vip) as client:
                try:
                    await client.send_bytes(data)
                except OSError:
                    continue  # ended while it was sending
        with TcpClient(stage4.vip) as client:
            await stage4.talk(client, await stage4.connect(client))
            assert agent.state.flow_counts() == {"pending": 0, "confirmed": 1}
    assert [each for each in caplog.records if each.levelname in ("WARNING", "ERROR")] == []
