"""Sockets on VIPs: what comes to them, from whom, and what is sent from them."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from relay.core.flowtuple import FlowTuple, Source
from relay.errors import BindError
from relay.forwarding.fastpath import BATCH, FastPath
from relay.forwarding.flowcache import FlowCache
from relay.forwarding.udp import bind_udp
from relay.forwarding.vips import VipSockets
from relay.wire.endpoint import Endpoint
from tests.relay.conftest import eventually
from tests.relay.forwarding.tos import CE, EF, receive, send

HOSTS = ("127.0.0.1", "::1")


def flow_of(client: Endpoint, vip: Endpoint) -> FlowTuple:
    return FlowTuple(client, vip, vip, client, bytes(21))


class Relay:
    """VIP sockets, and what they received."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.received: list[tuple[bytes, Source, int]] = []
        self.fast = FastPath(FlowCache(self.counters), self.counters)
        self.vips = VipSockets(
            asyncio.get_running_loop(),
            self.counters,
            self.fast,
            lambda *datagram: self.received.append(datagram),
        )

    def open(self, host: str = "127.0.0.1") -> Endpoint:
        """A VIP at a free port."""
        udp = bind_udp(Endpoint(host, 0))
        vip = Endpoint.of(udp.getsockname())
        self.vips.open(vip, udp)
        return vip


@pytest_asyncio.fixture
async def relay() -> AsyncIterator[Relay]:
    made = Relay()
    yield made
    made.vips.shutdown()
    made.fast.close()


@pytest.mark.parametrize("host", HOSTS)
async def test_a_datagram_comes_with_its_client_and_vip(relay: Relay, host: str) -> None:
    vip, other = relay.open(host), relay.open(host)
    relay.vips.listen()
    with bind_udp(Endpoint(host, 0)) as client:
        source = Endpoint.of(client.getsockname())
        send(client, b"to one", EF, vip)
        client.sendto(b"to the other", other)
        await eventually(lambda: len(relay.received) == 2, "both are received")
        assert set(relay.received) == {
            (b"to one", Source(source, vip), EF),
            (b"to the other", Source(source, other), 0),
        }
        relay.vips.send(flow_of(source, other), b"answer", CE)
        loop = asyncio.get_running_loop()
        relay.vips.send(flow_of(source, other), b"another", 0)
        assert receive(client) == (b"answer", CE)
        data, sender = await asyncio.wait_for(loop.sock_recvfrom(client, 100), 5)
        assert (data, Endpoint.of(sender)) == (b"another", other)


async def test_what_comes_before_listening_waits(relay: Relay) -> None:
    vip = relay.open()
    with bind_udp(Endpoint("127.0.0.1", 0)) as client:
        client.sendto(b"early", vip)
    await asyncio.sleep(0)
    assert relay.received == []
    relay.vips.listen()
    await eventually(lambda: bool(relay.received), "it is received")


async def test_others_on_the_event_loop_get_their_turn_during_a_flood(relay: Relay) -> None:
    vip, flood = relay.open(), 10 * BATCH
    with bind_udp(Endpoint("127.0.0.1", 0)) as client:
        for _ in range(flood):
            client.sendto(b"flood", vip)
    relay.vips.listen()
    await asyncio.sleep(0)  # a round of the loop, in which the socket was read
    await asyncio.sleep(0)
    assert 0 < len(relay.received) < flood
    await eventually(lambda: len(relay.received) == flood, "the rest follows")


async def test_a_vip_that_is_taken_or_not_here_cannot_be_opened(relay: Relay) -> None:
    vip = relay.open()
    with pytest.raises(BindError, match="another process has that port"):
        relay.vips.open(vip)
    with pytest.raises(BindError, match="does not have that address"):
        relay.vips.open(Endpoint("203.0.113.10", 3478))


async def test_a_datagram_that_the_kernel_refuses_is_counted(relay: Relay) -> None:
    vip = relay.open()
    relay.vips.send(flow_of(Endpoint("127.0.0.1", 9), vip), bytes(65_520), 0)
    assert relay.counters == {"send_failed_emsgsize": 1}


async def test_after_shutdown_the_port_is_free(relay: Relay) -> None:
    vip = relay.open()
    relay.vips.listen()
    with socket.socket(fileno=socket.dup(relay.vips.fileno(vip.packed))) as same:
        assert Endpoint.of(same.getsockname()) == vip
    relay.vips.shutdown()
    bind_udp(vip).close()
