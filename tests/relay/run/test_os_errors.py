"""What the operating system refuses costs one datagram: of an agent on real sockets and routes."""

import resource
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay.config.registry import Registry, Transceiver
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.relay.conftest import FIRST, RTP, SECOND, eventually
from tests.relay.run.stage import Peer, Stage, stage_on

pytestmark = pytest.mark.netns

HOST, FAR = "10.77.0.1", "10.77.0.3"
BURST = 20
# As a limit of open files it refuses all new ones, whichever are closed meanwhile.
_NONE_BUT_STANDARD = 3
# How the way to one address is closed, and what the kernel then says to who sends.
WAYS = {
    "no route": ("ip rule add pref 5 to {} unreachable", "enetunreach"),
    "prohibited": ("ip rule add pref 5 to {} prohibit", "eacces"),
    "black hole": ("ip rule add pref 5 to {} blackhole", "einval"),
    "firewall": ("nft add rule inet t out ip daddr {} drop", "eperm"),
}
_SETUP = (
    "ip link set lo up",
    f"ip addr add {HOST}/32 dev lo",
    f"ip addr add {FAR}/32 dev lo",
    # Rules come after those of the local table, where these addresses are, unless it moves.
    "ip rule add pref 10 lookup local",
    "ip rule del pref 0 lookup local",
    "nft add table inet t",
    "nft add chain inet t out { type filter hook output priority 0 ; }",
)


def run(host: Host, commands: Sequence[str]) -> None:
    for command in commands:
        subprocess.run(host.command(command.split()), check=True, capture_output=True)


@pytest.fixture
def far(host: Host, tmp_path: Path) -> Iterator["Far"]:
    with host.inside():
        for stage in stage_on(HOST, tmp_path):
            yield Far(host, stage)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host("oserrors", "host")
    made.create()
    try:
        run(made, _SETUP)
        yield made
    finally:
        made.remove()


class Far:
    """A stage with a second client and transceiver, at an address whose way can be closed."""

    def __init__(self, host: Host, stage: Stage) -> None:
        self._host = host
        self.stage = stage
        self.client, self.transceiver = Peer(FAR), Peer(FAR)
        scene = stage.scene
        scene.registry = Registry(
            (
                Transceiver(FIRST, stage.transceiver.address),
                Transceiver(SECOND, self.transceiver.address),
            )
        )

    def request(self) -> bytes:
        return self.stage.scene.request(self.stage.scene.ufrag(SECOND))

    async def connect(self, client: Peer) -> Endpoint:
        """A client's flow to the transceiver there; its upstream address."""
        request = self.request()
        client.send(request, self.stage.vip)
        _, upstream = await self.transceiver.receive()
        assert await self.transceiver.receive() == (request, upstream)
        success = self.stage.scene.answer(request)
        self.transceiver.send(success, upstream)
        assert await client.receive() == (success, self.stage.vip)
        return upstream

    @contextmanager
    def closed(self, way: str) -> Iterator[None]:
        command = WAYS[way][0].format(FAR)
        run(self._host, [command])
        try:
            yield
        finally:
            undo = (
                "ip rule del pref 5" if command.startswith("ip") else "nft flush chain inet t out"
            )
            run(self._host, [undo])


@pytest.mark.parametrize("way", WAYS)
async def test_what_one_transceiver_cannot_be_sent_costs_the_others_nothing(
    far: Far, way: str
) -> None:
    stage, other = far.stage, Peer(HOST)
    async with stage.relay() as agent:
        upstream = await stage.connect()
        await far.connect(other)
        with far.closed(way):
            for _ in range(BURST):  # in one batch with each other
                other.send(RTP, stage.vip)
                stage.client.send(RTP, stage.vip)
            for _ in range(BURST):
                assert await stage.transceiver.receive() == (RTP, upstream)
            name = f"send_failed_{WAYS[way][1]}"
            await eventually(lambda: agent.state.counters().get(name) == BURST, "each was counted")
        other.send(RTP, stage.vip)
        assert (await far.transceiver.receive())[0] == RTP
        assert agent.state.flow_counts()["confirmed"] == 2
        assert agent.state.unready() == []
        assert agent.state.failures() == {"registry file": 0, "sweep": 0, "repair": 0}
    other.close()


@pytest.mark.parametrize("way", WAYS)
async def test_what_one_client_cannot_be_sent_costs_the_others_nothing(far: Far, way: str) -> None:
    stage = far.stage
    async with stage.relay() as agent:
        near_upstream = await stage.connect()
        request = stage.scene.request()
        far.client.send(request, stage.vip)
        _, far_upstream = await stage.transceiver.receive()
        await stage.transceiver.receive()
        stage.transceiver.send(stage.scene.answer(request), far_upstream)
        await far.client.receive()
        with far.closed(way):
            for _ in range(BURST):
                stage.transceiver.send(RTP, far_upstream)
                stage.transceiver.send(RTP, near_upstream)
            for _ in range(BURST):
                assert await stage.client.receive() == (RTP, stage.vip)
            name = f"send_failed_{WAYS[way][1]}"
            await eventually(lambda: agent.state.counters().get(name) == BURST, "each was counted")
        assert agent.state.unready() == []


@pytest.mark.parametrize("way", WAYS)
async def test_flow_whose_transceiver_has_no_way_costs_itself(far: Far, way: str) -> None:
    stage, other = far.stage, Peer(HOST)
    async with stage.relay() as agent:
        upstream = await stage.connect()
        with far.closed(way):
            for _ in range(3):
                other.send(far.request(), stage.vip)
                stage.client.send(RTP, stage.vip)
                assert await stage.transceiver.receive() == (RTP, upstream)
            name = f"send_failed_{WAYS[way][1]}"
            # A socket that is never connected is closed again, and one that is sends in vain.
            await eventually(lambda: agent.state.counters().get(name, 0) >= 3, "each was counted")
        assert "a client's datagram" not in agent.state.failures()
        await far.connect(other)
    other.close()


async def test_without_files_new_flows_are_refused_and_the_others_go_on(far: Far) -> None:
    stage, other = far.stage, Peer(HOST)
    async with stage.relay() as agent:
        upstream = await stage.connect()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (_NONE_BUT_STANDARD, hard))
        try:
            for _ in range(3):
                other.send(far.request(), stage.vip)
                stage.client.send(RTP, stage.vip)
                assert await stage.transceiver.receive() == (RTP, upstream)
            counted = agent.state.counters()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert counted["send_failed_emfile"] == counted["given_up"] == 3
        assert agent.state.unready() == []
        await far.connect(other)
    other.close()
