"""Packets that the agent builds itself, against scapy, and whose an upstream address is."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6

from relay.core.flow import Flow, State
from relay.core.flowtuple import FlowTuple
from relay.forwarding.batchio import open_batch_io
from relay.forwarding.outbox import Outbox
from relay.forwarding.steered import SteeredSocket, udp_packet
from relay.wire.endpoint import Endpoint

V4 = Endpoint("192.0.2.1", 20_000), Endpoint("192.0.2.2", 5000)
V6 = Endpoint("2001:db8:2::1", 20_000), Endpoint("2001:db8:2::2", 5000)


@pytest.mark.parametrize(("source", "destination"), [V4, V6], ids=["ipv4", "ipv6"])
@given(data=st.binary(max_size=1500))
def test_udp_packet_is_what_scapy_builds(
    source: Endpoint, destination: Endpoint, data: bytes
) -> None:
    ip = IPv6 if ":" in source.host else IP
    packet = ip(src=source.host, dst=destination.host) / UDP(
        sport=source.port, dport=destination.port
    )
    built = udp_packet(source.packed, destination.packed, data)
    assert built == bytes((packet / data)[UDP])


def test_checksum_of_zero_is_sent_as_ones() -> None:
    # This word makes the sum 0xffff, whose complement is zero.
    ends = V4[0].packed, V4[1].packed
    packet = udp_packet(*ends, b"\0\0")
    word = int.from_bytes(packet[6:8], "big")
    assert udp_packet(*ends, word.to_bytes(2, "big"))[6:8] == b"\xff\xff"


@pytest.mark.netns
async def test_a_steered_socket_knows_whose_an_upstream_address_is() -> None:
    def flow(port: int) -> Flow:
        upstream = Endpoint("127.0.0.1", port)
        return Flow(FlowTuple(V4[1], V4[0], upstream, V4[1], bytes(21)), State.CONFIRMED, 0.0, 0.0)

    def found() -> list[Flow | None]:
        return [steered.find(Endpoint("127.0.0.1", port)) for port in range(19_999, 20_004)]

    counters: Counter[str] = Counter()
    outbox = Outbox(counters, open_batch_io)
    steered = SteeredSocket(
        ["127.0.0.1"],
        range(20_000, 20_003),
        asyncio.get_running_loop(),
        counters,
        outbox=outbox,
        received=lambda *_: None,
    )
    try:
        first, last, late = flow(20_000), flow(20_002), flow(20_002)
        steered.open(first)
        steered.open(last)
        assert found() == [None, first, None, last, None]
        assert steered.find(V4[0]) is None
        steered.open(late)
        steered.close(last)  # its address is another one's by now
        steered.close(first)
        assert found() == [None, None, None, late, None]
    finally:
        steered.shutdown()
        outbox.close()
