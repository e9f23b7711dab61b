"""ICMP errors between real raw sockets of the loopback, in a namespace of the test's own."""

import asyncio
import os
import secrets
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from scapy.layers.inet import ICMP, IP, UDP, IPerror, UDPerror
from scapy.packet import Packet, Raw

from relay.core.flowtuple import FlowTuple
from relay.forwarding.icmp import READ_BURST, SEND_BURST, IcmpSockets
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.relay.conftest import eventually

pytestmark = pytest.mark.netns

FLOW = FlowTuple(
    client=Endpoint("127.0.0.2", 40_000),
    vip=Endpoint("127.0.0.1", 3478),
    upstream=Endpoint("127.0.0.3", 20_000),
    transceiver=Endpoint("127.0.0.4", 5000),
    route=bytes(21),
)
ROUTER = "127.0.0.9"


class Site:
    """The relay's ICMP sockets, a router that sends errors, and the flow's two ends."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.icmp = IcmpSockets(asyncio.get_running_loop(), self.counters, self.find)
        self.icmp.open([FLOW.vip.host, FLOW.upstream.host])
        self.router, self.client, self.transceiver = (
            self.raw(host) for host in (ROUTER, FLOW.client.host, FLOW.transceiver.host)
        )

    @staticmethod
    def raw(host: str) -> socket.socket:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        raw = socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)
        raw.bind((host, 0))
        return raw

    @staticmethod
    def find(source: Endpoint, destination: Endpoint) -> FlowTuple | None:
        sent = (FLOW.vip, FLOW.client), (FLOW.upstream, FLOW.transceiver)
        return FLOW if (source, destination) in sent else None

    def send(self, error: Packet, to: str) -> None:
        self.router.sendto(bytes(error), (to, 0))

    def close(self) -> None:
        self.icmp.shutdown()
        for raw in (self.router, self.client, self.transceiver):
            raw.close()


@pytest.fixture
def host() -> Iterator[Host]:
    """A namespace with a loopback interface."""
    host = Host(f"test-{os.getpid()}-{secrets.token_hex(2)}", "icmp")
    host.create()
    with host.netlink() as netlink:
        netlink.link("set", index=1, state="up")
    yield host
    host.remove()


@pytest_asyncio.fixture
async def site(host: Host) -> AsyncIterator[Site]:
    with host.inside():
        made = Site()
    yield made
    made.close()


def too_big(source: Endpoint, destination: Endpoint) -> Packet:
    """What a router says of a packet between two addresses."""
    sent = IP(src=source.host, dst=destination.host) / UDP(
        sport=source.port, dport=destination.port
    )
    return ICMP(type=3, code=4, nexthopmtu=1200) / sent / Raw(bytes(8))


async def heard(raw: socket.socket) -> Packet:
    data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(raw, 65_536), 5)
    return IP(data)


async def test_an_error_on_the_way_to_the_transceiver_reaches_the_client(site: Site) -> None:
    site.send(too_big(FLOW.upstream, FLOW.transceiver), FLOW.upstream.host)
    error = await heard(site.client)
    assert error.src == FLOW.vip.host
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, 1200)
    assert (error[IPerror].src, error[UDPerror].sport) == FLOW.client[:2]
    assert (error[IPerror].dst, error[UDPerror].dport) == FLOW.vip[:2]
    assert site.counters == {"icmp_received": 1, "icmp_translated": 1}


async def test_an_error_on_the_way_to_the_client_reaches_the_transceiver(site: Site) -> None:
    site.send(too_big(FLOW.vip, FLOW.client), FLOW.vip.host)
    error = await heard(site.transceiver)
    assert error.src == FLOW.upstream.host
    assert (error[IPerror].src, error[UDPerror].sport) == FLOW.transceiver[:2]
    assert (error[IPerror].dst, error[UDPerror].dport) == FLOW.upstream[:2]


@pytest.mark.parametrize(
    ("error", "to", "counted"),
    [
        (too_big(FLOW.upstream, FLOW.client), FLOW.upstream.host, "icmp_unknown_flow"),
        (too_big(FLOW.upstream, FLOW.transceiver), FLOW.vip.host, "icmp_unknown_flow"),
        (ICMP(type=3, code=4) / Raw(bytes(12)), FLOW.vip.host, "icmp_malformed"),
    ],
    ids=["no flow", "not to its sender", "cut off"],
)
async def test_what_is_of_no_flow_is_counted_and_goes_nowhere(
    site: Site, error: Packet, to: str, counted: str
) -> None:
    site.send(error, to)
    await eventually(lambda: site.counters[counted] == 1, counted)
    assert site.counters == {"icmp_received": 1, counted: 1}


async def test_what_is_no_error_is_not_heard(site: Site) -> None:
    site.send(ICMP(type=8), FLOW.vip.host)
    site.send(too_big(FLOW.vip, FLOW.client), FLOW.vip.host)
    await eventually(lambda: site.counters["icmp_translated"] == 1, "the error is translated")
    assert site.counters["icmp_received"] == 1


async def test_a_flood_of_errors_is_read_and_answered_at_a_limited_rate(site: Site) -> None:
    flood = int(READ_BURST) + 50
    error = too_big(FLOW.upstream, FLOW.transceiver)
    for _ in range(flood):
        site.send(error, FLOW.upstream.host)
    await eventually(lambda: site.counters["icmp_paused"] > 0, "reading pauses")
    assert site.counters["icmp_received"] < flood
    await eventually(lambda: site.counters["icmp_received"] == flood, "reading goes on")
    assert SEND_BURST <= site.counters["icmp_translated"] < flood
    assert site.counters["icmp_limited"] == flood - site.counters["icmp_translated"]
