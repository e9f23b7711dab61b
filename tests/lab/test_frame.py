"""Parsing of captured frames, compared with scapy."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from relay.wire.endpoint import Endpoint
from tests.lab.frame import Datagram, parse

CLIENT, VIP = Endpoint("203.0.113.2", 40000), Endpoint("203.0.113.10", 3478)
CLIENT6, VIP6 = Endpoint("2001:db8:1::2", 40000), Endpoint("2001:db8:1::10", 3478)


# With addresses of its own, or scapy would ask the real network for them.
ETHERNET = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def frame(payload: bytes, *, six: bool = False, **fields: Any) -> bytes:
    source, destination = (CLIENT6, VIP6) if six else (CLIENT, VIP)
    ip = (IPv6 if six else IP)(src=source.host, dst=destination.host)
    udp = UDP(sport=source.port, dport=destination.port)
    for name, value in fields.items():
        setattr(udp if name == "chksum" else ip, name, value)
    return bytes(ETHERNET / ip / udp / Raw(payload))


def datagram(ssrc: int, sequence: int) -> Datagram:
    header = bytes([0x80, 111]) + sequence.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big")
    return Datagram(CLIENT, VIP, header + b"media", intact=True)


@given(payload=st.binary(max_size=200), six=st.booleans())
def test_addresses_payload_and_checksums_of_a_datagram(payload: bytes, six: bool) -> None:
    source, destination = (CLIENT6, VIP6) if six else (CLIENT, VIP)
    assert parse(frame(payload, six=six)) == Datagram(source, destination, payload, intact=True)


@given(bit=st.integers(0, 8 * (20 + 8 + 9) - 1))
def test_no_flipped_bit_goes_unnoticed(bit: int) -> None:
    whole = bytearray(frame(b"nine byte"))
    whole[14 + bit // 8] ^= 1 << bit % 8
    seen = parse(bytes(whole))
    assert seen is None or not seen.intact


def test_a_datagram_without_udp_checksum_is_right_on_ipv4_and_wrong_on_ipv6() -> None:
    four = parse(frame(b"x", chksum=0))
    six = parse(frame(b"x", six=True, chksum=0))
    assert four is not None
    assert four.intact
    assert six is not None
    assert not six.intact


def test_padding_of_a_short_frame_is_not_payload() -> None:
    seen = parse(frame(b"short").ljust(60, b"\0"))
    assert seen is not None
    assert seen.payload == b"short"


@pytest.mark.parametrize(
    "other",
    [
        b"",
        bytes(14),
        bytes(ETHERNET / ARP(hwsrc="02:00:00:00:00:01", psrc="203.0.113.2")),
        bytes(ETHERNET / IP(src=CLIENT.host, dst=VIP.host) / ICMP()),
        frame(b"first part", flags="MF"),
        frame(b"later part", frag=3),
        frame(b"cut short")[:-1],
    ],
)
def test_what_is_not_a_whole_datagram_is_left_out(other: bytes) -> None:
    assert parse(other) is None


def test_rtp_is_told_from_everything_beside_it() -> None:
    assert datagram(7, 65535).rtp == (7, 65535)
    for payload in (b"", b"\x80\x6f\x00", b"\x80\xc8" + bytes(20), b"\x16" + bytes(20), bytes(20)):
        assert Datagram(CLIENT, VIP, payload, intact=True).rtp is None
