"""Packets that the agent builds itself, against scapy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6

from relay.upstreams import udp_packet
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
    assert udp_packet(source, destination, data) == bytes((packet / data)[UDP])


def test_checksum_of_zero_is_sent_as_ones() -> None:
    # This word makes the sum 0xffff, whose complement is zero.
    packet = udp_packet(*V4, b"\0\0")
    word = int.from_bytes(packet[6:8], "big")
    assert udp_packet(*V4, word.to_bytes(2, "big"))[6:8] == b"\xff\xff"
