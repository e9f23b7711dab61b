"""What becomes of a batch of commands when one of them fails."""

import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from relay.config.registry import Registry, Transceiver
from relay.core.flow import Flow, NoteEdge, OpenUpstream, Remove, SendToClient, State
from relay.core.flowtuple import FlowTuple, Source
from relay.errors import BindError, DataplaneError
from relay.run.executor import now
from relay.wire.announcement import Announcement, is_announcement
from relay.wire.endpoint import Endpoint
from relay.wire.route import read_ufrag
from tests.relay.conftest import DTLS, FIRST, RTP, SECOND, describe, eventually
from tests.relay.forwarding.tos import CE, ECT0, EF
from tests.relay.run.stage import MemoryDataplane, Peer, Stage, stage_on


@pytest.fixture
def stage4(tmp_path: Path) -> Iterator[Stage]:
    yield from stage_on("127.0.0.1", tmp_path)


class OneFlow(MemoryDataplane):
    """Has room for one flow more at a time, and refuses to remove."""

    def __init__(self, *, removes: bool = True) -> None:
        super().__init__(room=1)
        self._removes = removes

    def remove(self, flow: FlowTuple) -> None:
        if not self._removes:
            raise DataplaneError("the kernel refuses")
        super().remove(flow)


@pytest.fixture
async def other(stage4: Stage) -> AsyncIterator[Peer]:
    """A second transceiver, which the relay knows, too."""
    peer = Peer(stage4.host)
    stage4.scene.registry = Registry(
        (
            Transceiver(FIRST, stage4.transceiver.address),
            Transceiver(SECOND, peer.address),
        )
    )
    yield peer
    peer.close()


async def test_an_install_that_fails_leaves_the_flow_that_the_client_had(
    stage4: Stage, other: Peer
) -> None:
    async with stage4.relay(OneFlow()) as agent:
        upstream = await stage4.connect()
        (old,) = agent._table
        old.last_from_client -= 15.0  # nobody lives there, so it may be rebound
        request = stage4.scene.request(stage4.scene.ufrag(SECOND))
        stage4.client.send(request, stage4.vip)
        await other.receive()  # the announcement
        data, towards = await other.receive()
        assert data == request
        other.send(stage4.scene.answer(request), towards)
        await eventually(
            lambda: agent.state.counters().get("given_up") == 1, "the new flow is given up"
        )
        assert [(flow, flow.state) for flow in agent._table] == [(old, State.CONFIRMED)]
        for data in (RTP, DTLS):
            stage4.client.send(data, stage4.vip)
            assert await stage4.transceiver.receive() == (data, upstream)
            stage4.transceiver.send(data, upstream)
            assert await stage4.client.receive() == (data, stage4.vip)


async def test_a_command_that_fails_costs_itself_and_not_the_batch(
    stage4: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage4.relay(OneFlow(removes=False)) as agent:
        await stage4.connect()
        (flow,) = agent._table
        agent._executor.execute([Remove(flow), SendToClient(flow, RTP)])
        assert await stage4.client.receive() == (RTP, stage4.vip)
        # The same where the flow of the one command is given up: it is left out, and no other.
        stranger = Peer(stage4.host)
        request = stage4.scene.request()
        stranger.send(request, stage4.vip)
        await eventually(lambda: agent.state.flow_counts()["pending"] == 1, "its flow is opened")
        lost = next(each for each in agent._table if each.state is State.PENDING)

        def fail(_: object) -> bool:
            raise BindError("no such address")

        sent: list[bytes] = []
        to_client = agent._ends.send_to_client

        def send(to: Flow, data: bytes, tos: int) -> None:
            sent.append(data)
            to_client(to, data, tos)

        monkeypatch.setattr(agent._ends, "open", fail)
        monkeypatch.setattr(agent._ends, "send_to_client", send)
        agent._executor.execute(
            [OpenUpstream(lost), SendToClient(lost, DTLS), SendToClient(flow, RTP)]
        )
        assert await stage4.client.receive() == (RTP, stage4.vip)
        stranger.close()
        assert sent == [RTP]
        assert list(agent._table) == [flow]
    errors = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert errors == [
        "a flow could not be removed from the dataplane: the kernel refuses",
        "no upstream socket: no such address",
    ]


async def test_what_is_passed_on_keeps_its_dscp_and_ecn_and_what_the_relay_says_has_none(
    stage4: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, int]] = []

    def note(send: Callable[[Flow, bytes, int], None], to: Flow, data: bytes, tos: int) -> None:
        sent.append((describe(data), tos))
        send(to, data, tos)

    async with stage4.relay(MemoryDataplane()) as agent:
        for name in ("send_to_transceiver", "send_to_client"):
            noting = partial(note, getattr(agent._ends, name))
            monkeypatch.setattr(agent._ends, name, noting)
        source = Source(stage4.client.address, stage4.vip)
        request = stage4.scene.request()
        agent.from_client(request, source, EF)
        (flow,) = agent._table
        agent.from_transceiver(flow, stage4.scene.answer(request), CE)
        agent.from_client(RTP, source, ECT0)
        agent.from_transceiver(flow, RTP, EF)
    assert sent == [
        *(("announcement", 0), ("request", EF), ("success", CE), ("RTP", ECT0), ("RTP", EF))
    ]


async def test_an_edge_that_the_kernel_does_not_take_costs_nothing_else(
    stage4: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(MemoryDataplane):
        def note_edge(self, edge: Endpoint) -> None:
            raise DataplaneError(f"no room for {edge.host}")

    async with stage4.relay(Full()) as agent:
        await stage4.connect()
        (flow,) = agent._table
        agent._executor.execute([NoteEdge(stage4.client.address), SendToClient(flow, RTP)])
        assert await stage4.client.receive() == (RTP, stage4.vip)
    assert f"no room for {stage4.client.address.host}" in caplog.text


async def test_one_that_is_retired_does_nothing_any_more(stage4: Stage) -> None:
    """Another agent has the flows: what the mirror says late would move them."""
    async with stage4.relay() as agent:
        await stage4.connect()
        (flow,) = agent._table
        agent._executor.execute([SendToClient(flow, RTP)])
        assert await stage4.client.receive() == (RTP, stage4.vip)
        agent._executor.retire()
        agent._executor.execute([SendToClient(flow, DTLS), Remove(flow)])
        agent._sockets._vips.send(flow.addresses, RTP, 0)
        assert await stage4.client.receive() == (RTP, stage4.vip)


@pytest.mark.parametrize("own", [True, False], ids=["restored", "taken over"])
async def test_a_flow_goes_on_at_another_port_where_another_process_has_its_own(
    stage4: Stage, own: bool
) -> None:
    """It would have no socket, and its client's checks would follow it there."""
    async with stage4.relay() as agent:
        upstream = await stage4.connect()
        (flow,) = agent._table
    stored = flow.addresses if own else flow.addresses._replace(upstream=Endpoint("192.0.2.77", 1))
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(upstream)  # which it would get again
        async with stage4.relay(MemoryDataplane()) as agent:
            agent._recover(stored, 4, [RTP], own=own)
            data, moved = await stage4.transceiver.receive()
            told = Announcement.parse(data, stage4.scene.keys)
            assert (told.upstream, told.epoch) == (moved, 5)
            assert moved != upstream
            assert await stage4.transceiver.receive() == (RTP, moved)
            stage4.transceiver.send(DTLS, moved)
            assert await stage4.client.receive() == (DTLS, stage4.vip)
            (flow,) = agent._table
            assert (flow.addresses.upstream, flow.claimed) == (moved, False)
            dataplane = agent._keeper.dataplane
            assert isinstance(dataplane, MemoryDataplane)
            assert dataplane.installed == [flow.addresses]


async def test_a_flow_that_can_have_no_port_is_given_up(stage4: Stage) -> None:
    """Its client's next check may open another one, and would else follow this one to nobody."""
    async with stage4.relay() as agent:
        upstream = await stage4.connect()
        (flow,) = agent._table
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(upstream)
        ports = range(upstream.port, upstream.port + 1)
        async with stage4.relay(MemoryDataplane(), ports=ports) as agent:
            agent._recover(flow.addresses, 4, [RTP], own=True)
            assert list(agent._table) == []
            assert agent.state.counters()["no_upstream_port"] == 1
            dataplane = agent._keeper.dataplane
            assert isinstance(dataplane, MemoryDataplane)
            assert dataplane.installed == []


class Forwarding(MemoryDataplane):
    """Forwards at once, as the kernel does: what is installed is looked at as a packet is."""

    def __init__(self, transceiver: Peer) -> None:
        super().__init__()
        self._transceiver = transceiver
        self.was_told: list[bool] = []

    def install(self, flow: FlowTuple) -> None:
        super().install(flow)
        self.was_told.append(self._transceiver.has_datagram())


async def test_a_transceiver_is_told_of_a_flow_before_the_kernel_forwards_it(
    stage4: Stage,
) -> None:
    """Among others of a batch, too; its port may have been somebody else's."""
    dataplane = Forwarding(stage4.transceiver)
    async with stage4.relay(dataplane) as agent:
        taken = FlowTuple(
            Endpoint("198.51.100.7", 5000),
            stage4.vip,
            Endpoint("192.0.2.77", 20_000),  # another relay's
            stage4.transceiver.address,
            read_ufrag(stage4.scene.ufrag()).raw,
        )
        commands = agent._table.ownership.restore(taken, now(), epoch=3, own=False)
        with agent._ends._vips._fast.outbox:  # as while a batch is read
            agent._executor.execute(commands)
        assert dataplane.was_told == [True]
        data, _ = await stage4.transceiver.receive()
        assert is_announcement(data)
