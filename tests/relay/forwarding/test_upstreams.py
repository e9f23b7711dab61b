"""A connected socket for each flow, towards transceivers that are plain sockets."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from relay.core.flow import Flow, State
from relay.core.flowtuple import FlowTuple
from relay.errors import BindError
from relay.forwarding.fastpath import FastPath
from relay.forwarding.flowcache import FlowCache
from relay.forwarding.udp import bind_udp
from relay.forwarding.upstreams import PerFlowSockets
from relay.wire.endpoint import Endpoint
from tests.relay.conftest import eventually
from tests.relay.forwarding.tos import CE, EF, send

ANY = Endpoint("127.0.0.1", 0)


class Sides:
    """Upstream sockets with a VIP, a client and a transceiver."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.received: list[tuple[Flow, bytes, int]] = []
        self.vip, self.client, self.transceiver = (bind_udp(ANY) for _ in range(3))
        fast = FastPath(FlowCache(self.counters), self.counters)
        fast.add_vip(self.vip.fileno(), self.vip.family)
        self.fast = fast
        self.upstreams = PerFlowSockets(
            asyncio.get_running_loop(),
            fast,
            lambda _: self.vip.fileno(),
            lambda flow, data, tos: self.received.append((flow, data, tos)),
        )
        self.upstreams.listen()

    def flow(self, upstream: Endpoint | None = None) -> Flow:
        with bind_udp(ANY) as free:
            unused = Endpoint.of(free.getsockname())
        client, vip, transceiver = (
            Endpoint.of(udp.getsockname()) for udp in (self.client, self.vip, self.transceiver)
        )
        parts = FlowTuple(client, vip, upstream or unused, transceiver, bytes(21))
        return Flow(parts, State.PENDING, 0.0, 0.0)

    def close(self) -> None:
        self.upstreams.shutdown()
        self.fast.close()
        for udp in (self.vip, self.client, self.transceiver):
            udp.close()


@pytest_asyncio.fixture
async def sides() -> AsyncIterator[Sides]:
    made = Sides()
    yield made
    made.close()


async def received(udp: socket.socket) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(udp, 1000), 5)


async def test_a_flow_has_its_port_and_its_transceivers_answers(sides: Sides) -> None:
    flow = sides.flow()
    assert sides.upstreams.open(flow)
    assert sides.upstreams.find(flow.addresses.upstream) is flow
    sides.upstreams.send(flow, b"request", EF)
    loop = asyncio.get_running_loop()
    data, source = await asyncio.wait_for(loop.sock_recvfrom(sides.transceiver, 100), 5)
    assert (data, Endpoint.of(source)) == (b"request", flow.addresses.upstream)
    send(sides.transceiver, b"answer", CE, Endpoint.of(source))
    await eventually(lambda: sides.received == [(flow, b"answer", CE)], "the answer is received")


async def test_nobody_but_the_transceiver_is_let_in(sides: Sides) -> None:
    flow = sides.flow()
    sides.upstreams.open(flow)
    with bind_udp(ANY) as stranger:
        stranger.sendto(b"stranger", flow.addresses.upstream)
    sides.transceiver.sendto(b"transceiver", flow.addresses.upstream)
    await eventually(lambda: bool(sides.received), "the transceiver is heard")
    assert sides.received == [(flow, b"transceiver", 0)]


async def test_a_confirmed_flow_goes_straight_to_its_client(sides: Sides) -> None:
    flow = sides.flow()
    sides.upstreams.open(flow)
    sides.upstreams.confirm(flow)
    for number in range(3):
        sides.transceiver.sendto(b"\x80media %d" % number, flow.addresses.upstream)
    assert [await received(sides.client) for _ in range(3)] == [
        b"\x80media %d" % number for number in range(3)
    ]
    assert sides.received == []
    assert (flow.packets_to_client, sides.counters["forwarded_to_clients"]) == (3, 3)


async def test_an_adopted_flow_is_confirmed_from_the_start(sides: Sides) -> None:
    flow = sides.flow()
    flow.state = State.CONFIRMED
    sides.upstreams.open(flow)
    sides.transceiver.sendto(b"\x80media", flow.addresses.upstream)
    assert await received(sides.client) == b"\x80media"


async def test_a_port_of_another_process_is_no_failure(sides: Sides) -> None:
    with bind_udp(ANY) as taken:
        flow = sides.flow(Endpoint.of(taken.getsockname()))
        assert not sides.upstreams.open(flow)
    assert sides.upstreams.find(flow.addresses.upstream) is None
    assert sides.upstreams.open(flow)


async def test_an_address_that_is_not_here_is_one(sides: Sides) -> None:
    with pytest.raises(BindError, match="does not have that address"):
        sides.upstreams.open(sides.flow(Endpoint("192.0.2.1", 20_000)))


async def test_a_closed_flow_is_forgotten_and_its_port_free(sides: Sides) -> None:
    flow = sides.flow()
    sides.upstreams.open(flow)
    sides.upstreams.confirm(flow)
    sides.upstreams.close(flow)
    sides.upstreams.close(flow)
    assert sides.upstreams.find(flow.addresses.upstream) is None
    bind_udp(flow.addresses.upstream).close()
    sides.upstreams.send(flow, b"too late", 0)
    sides.upstreams.confirm(flow)
    assert sides.counters == Counter()


async def test_what_was_sent_before_a_flow_was_closed_leaves(sides: Sides) -> None:
    flow = sides.flow()
    sides.upstreams.open(flow)
    with sides.fast.outbox:
        sides.upstreams.send(flow, b"last", 0)
        sides.upstreams.close(flow)
        assert await received(sides.transceiver) == b"last"
    assert sides.counters == Counter()


async def test_a_transceiver_that_is_gone_is_counted(sides: Sides) -> None:
    flow = sides.flow()
    sides.upstreams.open(flow)
    sides.transceiver.close()
    sides.upstreams.send(flow, b"refused", 0)
    await eventually(
        lambda: sides.counters["send_failed_econnrefused"] == 1, "the refusal is counted"
    )


async def test_the_socket_of_another_process_goes_on_with_what_waits_in_it(sides: Sides) -> None:
    flow = sides.flow()
    with bind_udp(flow.addresses.upstream) as before:
        before.connect(flow.addresses.transceiver)
        send(sides.transceiver, b"waited", CE, flow.addresses.upstream)
        given = before.dup()
    assert sides.upstreams.opened(flow) is None
    sides.upstreams.adopt(flow, given)
    assert sides.upstreams.opened(flow) is given
    assert sides.upstreams.find(flow.addresses.upstream) is flow
    await eventually(lambda: sides.received == [(flow, b"waited", CE)], "it is received")
    sides.upstreams.send(flow, b"request", 0)
    assert await received(sides.transceiver) == b"request"
    sides.upstreams.close(flow)
    assert given.fileno() < 0
