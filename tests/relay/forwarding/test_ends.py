"""Which end serves a flow: by its client's transport, and by nothing else."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest_asyncio

from relay.core.flow import Flow, State
from relay.core.flowtuple import FlowTuple
from relay.core.limits import ConnectionLimits
from relay.forwarding.connections import ClientConnections
from relay.forwarding.ends import Ends
from relay.forwarding.fastpath import FastPath
from relay.forwarding.flowcache import FlowCache
from relay.forwarding.udp import bind_udp
from relay.forwarding.upstreams import PerFlowSockets
from relay.forwarding.vips import VipSockets
from relay.wire.endpoint import Endpoint
from relay.wire.transport import Transport
from tests.ports import free_port
from tests.relay.conftest import RTP, eventually
from tests.relay.forwarding.tcppair import TcpClient, listening

HOST = "127.0.0.1"
HELLO = b"hello"


class Relay:
    """Both ends, with upstream sockets of its own for each transport."""

    def __init__(self) -> None:
        loop, counters = asyncio.get_running_loop(), Counter[str]()
        self.fast = FastPath(FlowCache(counters), counters)
        self.vips = VipSockets(loop, counters, self.fast, lambda *_: None)
        udp, (listener, self.tcp) = bind_udp(Endpoint(HOST, 0)), listening()
        self.udp = Endpoint.of(udp.getsockname())
        self.vips.open(self.udp, udp)
        self.said: list[bytes] = []
        self.connections = ClientConnections(
            loop,
            counters,
            lambda data, _: self._hear(data),
            lambda _: None,
            limits=ConnectionLimits(),
        )
        self.connections.open(self.tcp, listener)
        self.received: list[tuple[Transport, Flow, bytes]] = []
        self.upstreams = {each: self._upstreams(each) for each in Transport}
        self.ends = Ends(self.vips, self.connections, self.upstreams)
        self.ends.listen()
        self.transceiver = bind_udp(Endpoint(HOST, 0))
        self.opening: list[Flow] = []

    def flow(self, client: Endpoint, transport: Transport) -> Flow:
        upstream = Endpoint(HOST, free_port())
        vip = self.tcp if transport is Transport.TCP else self.udp
        transceiver = Endpoint.of(self.transceiver.getsockname())
        parts = FlowTuple(client, vip, upstream, transceiver, bytes(21), transport=transport)
        return Flow(parts, State.PENDING, 0.0, 0.0)

    def close(self) -> None:
        self.connections.shutdown()
        self.vips.shutdown()
        for each in self.upstreams.values():
            each.shutdown()
        self.fast.close()
        self.transceiver.close()

    def _hear(self, data: bytes) -> None:
        self.said.append(data)
        for flow in self.opening:
            assert self.ends.open(flow)

    def _upstreams(self, transport: Transport) -> PerFlowSockets:
        return PerFlowSockets(
            asyncio.get_running_loop(),
            self.fast,
            self.vips.fileno,
            lambda flow, data, _: self.received.append((transport, flow, data)),
        )


@pytest_asyncio.fixture
async def relay() -> AsyncIterator[Relay]:
    made = Relay()
    yield made
    made.close()


async def test_a_client_over_udp_and_one_over_tcp_at_the_same_address(relay: Relay) -> None:
    loop = asyncio.get_running_loop()
    with TcpClient(relay.tcp) as client, bind_udp(client.address) as same:
        over_udp = relay.flow(client.address, Transport.UDP)
        over_tcp = relay.flow(client.address, Transport.TCP)
        relay.opening = [over_udp, over_tcp]
        await client.send(HELLO)
        await eventually(lambda: relay.said == [HELLO], "the client is heard")
        relay.ends.send_to_client(over_udp, b"over UDP", 0)
        relay.ends.send_to_client(over_tcp, b"over TCP", 0)
        assert await asyncio.wait_for(loop.sock_recv(same, 100), 5) == b"over UDP"
        assert await client.receive() == b"over TCP"
        for flow in (over_udp, over_tcp):
            relay.ends.send_to_transceiver(flow, RTP, 0)
            data, source = await asyncio.wait_for(loop.sock_recvfrom(relay.transceiver, 100), 5)
            assert (data, Endpoint.of(source)) == (RTP, flow.addresses.upstream)
            relay.transceiver.sendto(b"answer", source)
        await eventually(lambda: len(relay.received) == 2, "both answers come")
        assert relay.received == [
            (Transport.UDP, over_udp, b"answer"),
            (Transport.TCP, over_tcp, b"answer"),
        ]
        relay.ends.close(over_udp)
        relay.ends.send_to_client(over_tcp, b"still here", 0)
        assert await client.receive() == b"still here"
        relay.ends.close(over_tcp)
        assert await client.is_ended()


async def test_an_upstream_address_is_found_for_clients_over_udp_only(relay: Relay) -> None:
    """What ICMP says of the way to a transceiver is passed on in terms of UDP."""
    shared = relay.upstreams[Transport.UDP]
    ends = Ends(relay.vips, relay.connections, dict.fromkeys(Transport, shared))
    for transport in Transport:
        flow = relay.flow(Endpoint(HOST, 1), transport)
        assert ends.open(flow)
        found = ends.find_upstream(flow.addresses.upstream)
        assert found is (flow if transport is Transport.UDP else None)


async def test_a_flow_whose_port_is_taken_gets_no_connection(relay: Relay) -> None:
    with TcpClient(relay.tcp) as client, bind_udp(Endpoint(HOST, 0)) as other:
        await client.send_bytes(b"\x00")
        await eventually(lambda: len(relay.connections) == 1, "it is connected")
        flow = relay.flow(client.address, Transport.TCP)
        flow.addresses = flow.addresses._replace(upstream=Endpoint.of(other.getsockname()))
        assert not relay.ends.open(flow)
        await client.send_bytes(b"\x05" + HELLO)
        assert await client.is_ended()  # it has no flow


async def test_a_confirmed_flow_may_take_the_fast_path(relay: Relay) -> None:
    flow = relay.flow(Endpoint(HOST, 1), Transport.UDP)
    relay.ends.open(flow)
    relay.ends.confirm(flow)
    assert [each.flow for each in relay.fast.cache.by_upstream.values()] == [flow]
