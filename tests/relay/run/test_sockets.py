"""Which sockets an agent opens, by its configuration and its dataplane."""

import os
import resource
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from relay.core.flow import Flow, State
from relay.core.flowtuple import FlowTuple, Source
from relay.dataplane.userspace import UserspaceDataplane
from relay.errors import BindError
from relay.forwarding.steered import SteeredSocket
from relay.forwarding.tcp import bind_tcp
from relay.forwarding.udp import bind_udp
from relay.forwarding.upstreams import PerFlowSockets
from relay.run import sockets as module
from relay.run.config import RelayConfig
from relay.run.sockets import AgentSockets
from relay.run.workers.worker import WHOLE, Worker
from relay.wire.endpoint import Endpoint
from relay.wire.transport import Transport
from tests.ports import free_port
from tests.relay.conftest import ALICE, eventually

HOST, UPSTREAM = "127.0.0.1", "127.0.0.2"


@dataclass
class Heard:
    """A receiver."""

    datagrams: list[tuple[Any, ...]] = field(default_factory=list)

    def from_client(self, data: bytes, source: Source, tos: int = 0) -> None:
        self.datagrams.append((data, source, tos))

    def from_transceiver(self, flow: Flow, data: bytes, tos: int) -> None:
        self.datagrams.append((flow, data, tos))

    def at_upstream(self, upstream: bytes) -> Flow | None:
        self.datagrams.append((upstream,))
        return None

    def disconnected(self, flow: Flow) -> None:
        self.datagrams.append((flow,))


class SteeringDataplane(UserspaceDataplane):
    """One that can steer."""

    steers = True

    def __init__(self) -> None:
        self.steered: list[Endpoint] = []

    def steer(self, udp: socket.socket) -> None:
        self.steered.append(Endpoint.of(udp.getsockname()))


def free() -> Endpoint:
    return Endpoint(HOST, free_port())


def config_of(tcp: tuple[Endpoint, ...] = ()) -> RelayConfig:
    return RelayConfig(
        vips=(free(),),
        tcp=tcp,
        upstreams=(HOST,),
        keys=Path("keys.toml"),
        registry=Path("registry.toml"),
    )


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def sockets(
    config: RelayConfig, dataplane: UserspaceDataplane, worker: Worker = WHOLE
) -> AgentSockets:
    return AgentSockets(config, worker, dataplane, Counter(), receiver=Heard())


async def test_in_userspace_each_flow_has_a_socket(closing: ExitStack) -> None:
    ends = sockets(config_of(), UserspaceDataplane()).open(closing)
    assert isinstance(ends._over_udp, PerFlowSockets)
    assert ends._over_udp is ends._over_tcp


async def test_where_ports_are_steered_clients_over_tcp_have_sockets_of_their_own(
    closing: ExitStack,
) -> None:
    """The kernel's program lets no more than a share of their packets through to steered ports."""
    dataplane = SteeringDataplane()
    ends = sockets(config_of(), dataplane).open(closing)
    assert isinstance(ends._over_udp, SteeredSocket)
    assert isinstance(ends._over_tcp, PerFlowSockets)
    assert [each.host for each in dataplane.steered] == [HOST]
    upstream = free()
    transceiver = free()  # one that can be reached on any host
    parts = FlowTuple(ALICE, ALICE, upstream, transceiver, bytes(21), transport=Transport.TCP)
    assert ends.open(Flow(parts, State.PENDING, 0.0, 0.0))
    with pytest.raises(OSError, match="in use"), socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(upstream)


async def test_clients_connect_where_it_is_said_and_nowhere_else(closing: ExitStack) -> None:
    address = free()
    config = config_of((address,))
    sockets(config, UserspaceDataplane()).open(closing)
    socket.create_connection(address, 5).close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(config.vips[0], 5)


async def test_an_address_that_is_taken_closes_what_is_open(closing: ExitStack) -> None:
    with bind_tcp(Endpoint(HOST, 0)) as taken:
        config = config_of((Endpoint.of(taken.getsockname()),))
        with ExitStack() as stack, pytest.raises(BindError, match="TCP: another process"):
            sockets(config, UserspaceDataplane()).open(stack)
    sockets(config, UserspaceDataplane()).open(closing)  # all is free again


async def test_a_worker_takes_the_sockets_that_it_was_given(closing: ExitStack) -> None:
    listener = bind_tcp(Endpoint(HOST, 0))
    address = Endpoint.of(listener.getsockname())
    worker = Worker(WHOLE.shard, {}, {address: listener})
    sockets(config_of((address,)), UserspaceDataplane(), worker).open(closing)
    socket.create_connection(address, 5).close()
    closing.close()
    assert listener.fileno() == -1


class TestUnsteer:
    """Flows get sockets of their own when the program goes, as far as there are files."""

    @pytest_asyncio.fixture
    async def opened(self, closing: ExitStack, monkeypatch: pytest.MonkeyPatch) -> AgentSockets:
        monkeypatch.setattr(module, "AGAIN_AFTER", 0.01)
        config = replace(config_of(), upstreams=(UPSTREAM,), ports=range(1024, 65_536))
        opened = sockets(config, SteeringDataplane())
        opened.open(closing)
        return opened

    @pytest.fixture
    def flows(self, opened: AgentSockets) -> list[Flow]:
        flows = []
        for _ in range(100):
            upstream = Endpoint(UPSTREAM, free().port)
            parts = FlowTuple(ALICE, ALICE, upstream, free(), bytes(21))
            flows.append(Flow(parts, State.PENDING, 0.0, 0.0))
            assert opened._ends.open(flows[-1])
        return flows

    def moved(self, opened: AgentSockets, flows: list[Flow]) -> int:
        return sum(opened.upstream(flow) is not None for flow in flows)

    async def test_all_get_one(self, opened: AgentSockets, flows: list[Flow]) -> None:
        assert await opened.unsteer(flows) == 0
        assert self.moved(opened, flows) == 100

    async def test_some_files_are_left_to_others_and_the_rest_move_when_there_are_more(
        self, opened: AgentSockets, flows: list[Flow], caplog: pytest.LogCaptureFixture
    ) -> None:
        with few_files(150):
            left = await opened.unsteer(flows)
            assert left == 100 - self.moved(opened, flows) > 0
            assert f"flows that have no socket of their own: {left}." in caplog.text
            with ExitStack() as others:
                for _ in range(30):
                    others.callback(os.close, os.eventfd(0))
            opened._ends.close(flows[-1])  # which needs none any more
        await eventually(lambda: self.moved(opened, flows) == 99, "the others move")

    async def test_one_whose_port_another_process_has_moves_when_it_is_free(
        self, opened: AgentSockets, flows: list[Flow], caplog: pytest.LogCaptureFixture
    ) -> None:
        with bind_udp(flows[0].addresses.upstream):
            assert await opened.unsteer(flows) == 1
        assert "flows that have no socket of their own: 1." in caplog.text
        await eventually(lambda: opened.upstream(flows[0]) is not None, "it moves")

    async def test_nobody_is_moved_after_the_end(
        self, opened: AgentSockets, flows: list[Flow], closing: ExitStack
    ) -> None:
        with bind_udp(flows[0].addresses.upstream):
            assert await opened.unsteer(flows) == 1
            closing.close()
        assert opened._moving is not None
        assert opened._moving.cancelled()


@contextmanager
def few_files(limit: int) -> Iterator[None]:
    """This process may have that many files, all of the lowest numbers, and has some already."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
