"""A server that is not ours behind the relay: aioice, a full ICE agent that knows of no relay."""

import asyncio
from pathlib import Path

import aioice
import pytest

from relay.config.directory import Directory
from relay.config.registry import Registry, Transceiver
from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.userspace import UserspaceDataplane
from relay.run.agent import Agent
from relay.run.config import RelayConfig
from relay.wire.announcement import is_announcement
from relay.wire.demux import Kind, classify
from relay.wire.endpoint import Endpoint
from tests.relay.conftest import FIRST

from .stage import PORTS, WAIT, Peer, scene_now

NOBODY = aioice.Candidate.from_sdp("1 1 udp 1 192.0.2.254 9 typ host")


@pytest.fixture
def vip() -> Endpoint:
    free = Peer("127.0.0.1")
    free.close()
    return free.address


async def test_full_ice_server_connects_and_talks(vip: Endpoint, tmp_path: Path) -> None:
    scene = scene_now()
    server = aioice.Connection(
        ice_controlling=False, local_username=scene.ufrag(), local_password="p" * 24
    )
    client = aioice.Connection(ice_controlling=True)
    await server.gather_candidates()
    await client.gather_candidates()
    here = next(each for each in server.local_candidates if "." in each.host)
    registry = Registry((Transceiver(FIRST, Endpoint(here.host, here.port)),))
    config = RelayConfig(
        vips=(vip,),
        upstreams=("127.0.0.1",),
        keys=tmp_path,
        registry=tmp_path,
        ports=PORTS,
        dataplane=DataplaneChoice.USERSPACE,
        admin=tmp_path / "admin.sock",
    )
    # What SDP would carry: the server's only candidate is the VIP; the client's cannot be reached.
    await client.add_remote_candidate(
        aioice.Candidate.from_sdp(f"1 1 udp 2130706431 {vip.host} {vip.port} typ host")
    )
    await server.add_remote_candidate(NOBODY)
    for one, other in ((client, server), (server, client)):
        one.remote_username, one.remote_password = other.local_username, other.local_password
        await one.add_remote_candidate(None)
    try:
        async with Agent(config, scene.keys, Directory(registry), UserspaceDataplane()) as agent:
            # `connect` returns when a pair is nominated on either side.
            await asyncio.wait_for(asyncio.gather(client.connect(), server.connect()), 2 * WAIT)
            await client.send(b"\x80question")
            # Above ICE, a server sees the announcements too, and ignores them by their first byte.
            while classify(heard := await asyncio.wait_for(server.recv(), WAIT)) is Kind.OTHER:
                assert is_announcement(heard)
            assert heard == b"\x80question"
            await server.send(b"\x80answer")
            assert await asyncio.wait_for(client.recv(), WAIT) == b"\x80answer"
            assert agent.state.flow_counts()["confirmed"] == 1
    finally:
        await client.close()
        await server.close()
