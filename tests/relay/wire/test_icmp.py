"""ICMP errors in all combinations of IP versions, built and checked by scapy."""

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP, IPOption_NOP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6ParamProblem, IPv6
from scapy.packet import Packet, Raw
from scapy.utils import checksum

from relay.wire.endpoint import Endpoint
from relay.wire.errors import IcmpError
from relay.wire.icmp import Report, parse_icmp4, parse_icmp6, translate

PAYLOAD = bytes([0x80, 111]) + bytes(range(200))
Family = socket.AddressFamily
V4, V6 = socket.AF_INET, socket.AF_INET6

# What the relay sent, from a VIP to a client, and what the transceiver had sent for it.
SENT = {
    V4: (Endpoint("203.0.113.10", 3478), Endpoint("198.51.100.7", 40_000)),
    V6: (Endpoint("2001:db8:1::10", 3478), Endpoint("2001:db8:9::7", 40_000)),
}
CAME = {
    V4: (Endpoint("192.0.2.2", 5000), Endpoint("192.0.2.1", 20_001)),
    V6: (Endpoint("2001:db8:2::2", 5000), Endpoint("2001:db8:2::1", 20_001)),
}
COMBINATIONS = [(V4, V4), (V4, V6), (V6, V4), (V6, V6)]


def datagram(ends: tuple[Endpoint, Endpoint], payload: bytes = PAYLOAD, **fields: Any) -> Packet:
    """A UDP packet as it was on the wire, checksums included."""
    source, destination = ends
    v6 = source.family == V6
    options: dict[str, Any] = {}
    options.update({"hlim": 63} if v6 else {"ttl": 63, "flags": "DF"})
    options.update({"src": source.host, "dst": destination.host} | fields)
    header: Packet = IPv6(**options) if v6 else IP(**options)
    packet = header / UDP(sport=source.port, dport=destination.port) / Raw(payload)
    return type(header)(bytes(packet))


def error(family: Family, kind: str, packet: Packet, **fields: Any) -> bytes:
    """An ICMP message about a packet, from its type on."""
    if family == V4:
        code = {"too big": 4, "port": 3, "host": 1}[kind]
        return bytes(ICMP(**{"type": 3, "code": code} | fields) / packet)
    if kind == "too big":
        return bytes(ICMPv6PacketTooBig(**fields) / packet)
    code = {"port": 4, "host": 3}[kind]
    return bytes(ICMPv6DestUnreach(**{"code": code} | fields) / packet)


def parse(family: Family, message: bytes) -> Report:
    return parse_icmp4(message) if family == V4 else parse_icmp6(message)


def translated(
    family: Family, to: Family, kind: str, packet: Packet | None = None, **fields: Any
) -> bytes:
    """What the host that sent the packet to the relay is told."""
    packet = packet if packet is not None else datagram(SENT[family])
    message = translate(parse(family, error(family, kind, packet, **fields)), *CAME[to])
    # That of IPv6 is the kernel's to fill in.
    assert message[2:4] == b"\0\0" if to == V6 else checksum(message) == 0
    return message


def read(to: Family, message: bytes) -> Packet:
    """The message's header."""
    if to == V4:
        return ICMP(message)
    header: Packet = IPv6(bytes(IPv6(nh=socket.IPPROTO_ICMPV6) / Raw(message))).payload
    return header


@pytest.mark.parametrize(("family", "to"), COMBINATIONS)
def test_the_quote_is_the_packet_that_the_other_side_sent(family: Family, to: Family) -> None:
    # IPv6 has no identification that could be told.
    fields: dict[str, Any] = {"id": 1 if family == V4 else 0} if to == V4 else {}
    expected = datagram(CAME[to], **fields)
    assert translated(family, to, "port")[8:] == bytes(expected)  # with scapy's checksums


@pytest.mark.parametrize(
    ("family", "to", "mtu", "expected"),
    [
        (V4, V4, 1400, 1400),
        (V4, V6, 1400, 1420),
        (V6, V4, 1400, 1380),
        (V6, V6, 1400, 1400),
        (V4, V6, 600, 1280),  # IPv6 has no smaller ones
        (V6, V4, 70_000, 65_535),
        (V6, V4, 0, 68),
        (V4, V4, 0, 0),  # from an old router; the sender knows what to make of it
        (V4, V6, 0, 1492 + 20),  # what is next below the packet's 1,500 bytes
    ],
)
def test_too_big_says_what_fits_there(family: Family, to: Family, mtu: int, expected: int) -> None:
    headers = 28 if family == V4 else 48
    packet = datagram(SENT[family], bytes(1500 - headers))
    field = {"nexthopmtu" if family == V4 else "mtu": mtu}
    message = translated(family, to, "too big", packet, **field)
    answer = read(to, message)
    if to == V4:
        assert (answer.type, answer.code, answer.nexthopmtu) == (3, 4, expected)
        assert len(message) <= 576 - 20
    else:
        assert isinstance(answer, ICMPv6PacketTooBig)
        assert (answer.code, answer.mtu) == (0, expected)
        assert len(message) <= 1280 - 40


@pytest.mark.parametrize(
    ("codes", "kind", "code"),
    [
        ((0, 1, 5, 6, 7, 8, 11, 12), ICMPv6DestUnreach, 0),
        ((9, 10, 13, 15), ICMPv6DestUnreach, 1),
        ((3,), ICMPv6DestUnreach, 4),
        ((2,), ICMPv6ParamProblem, 1),
    ],
)
def test_codes_of_ipv4_in_ipv6(codes: tuple[int, ...], kind: type[Packet], code: int) -> None:
    """RFC 7915, section 4.2."""
    for each in codes:
        answer = read(V6, translated(V4, V6, "port", code=each))
        assert (type(answer), answer.code) == (kind, code)
        if kind is ICMPv6ParamProblem:
            assert answer.ptr == 6


def test_codes_of_ipv6_in_ipv4() -> None:
    """RFC 7915, section 5.2."""
    found = {code: translated(V6, V4, "port", code=code)[1] for code in range(5)}
    assert found == {0: 1, 1: 10, 2: 1, 3: 1, 4: 3}


@pytest.mark.parametrize(("family", "to", "code"), [(V4, V6, 14), (V4, V6, 16), (V6, V4, 5)])
def test_codes_without_a_meaning_there_are_not_translated(
    family: Family, to: Family, code: int
) -> None:
    report = parse(family, error(family, "port", datagram(SENT[family]), code=code))
    with pytest.raises(IcmpError, match=f"code {code} means nothing"):
        translate(report, *CAME[to])


def test_a_packet_without_a_checksum_stays_one() -> None:
    packet = datagram(SENT[V4])
    packet[UDP].chksum = 0
    assert IP(translated(V4, V4, "port", packet)[8:])[UDP].chksum == 0


def test_a_damaged_checksum_stays_damaged() -> None:
    packet = datagram(SENT[V4])
    packet[UDP].chksum ^= 0x0100
    answer = IP(translated(V4, V4, "port", packet)[8:])
    assert answer[UDP].chksum not in (0, datagram(CAME[V4])[UDP].chksum)


@pytest.mark.parametrize("size", [8, 20, 500])
def test_a_router_may_quote_little(size: int) -> None:
    message = error(V4, "too big", Raw(bytes(datagram(SENT[V4]))[: 20 + size]), nexthopmtu=1000)
    report = parse_icmp4(message)
    assert (report.quote.source, report.quote.destination) == SENT[V4]
    assert report.mtu == 1000
    assert len(translate(report, *CAME[V4])) == len(message)


def test_options_in_the_quoted_packet_are_left_out() -> None:
    packet = datagram(SENT[V4], options=[IPOption_NOP()] * 4)
    assert IP(translated(V4, V4, "port", packet)[8:]).ihl == 5


def test_extensions_behind_the_quoted_packet_are_left_out() -> None:
    """RFC 4884: the length says where they begin."""
    packet = bytes(datagram(SENT[V4], bytes(100)))[:128]
    for family, length in ((V4, 32), (V6, 16)):
        sent = packet if family == V4 else bytes(datagram(SENT[V6], bytes(80)))
        message = error(family, "port", Raw(sent + b"extension"), length=length)
        quote = parse(family, message).quote
        assert b"extension" not in quote.payload
        assert len(quote.payload) == len(sent) - (28 if family == V4 else 48)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        bytes(7),
        bytes(ICMP(type=8) / Raw(bytes(60))),
        bytes(ICMP(type=11) / datagram(SENT[V4])),
        bytes(ICMP(type=3, code=3) / datagram(SENT[V4])[UDP]),
        bytes(ICMP(type=3, code=3) / Raw(bytes(datagram(SENT[V4]))[:27])),
        bytes(ICMP(type=3, code=3) / datagram(SENT[V4], proto=6)),
        bytes(ICMP(type=3, code=3) / datagram(SENT[V4], frag=1)),
        bytes(ICMP(type=3, code=3) / datagram(SENT[V4], len=27)),
        bytes(ICMP(type=3, code=3) / datagram(SENT[V6])),
        bytes(ICMP(type=3, code=3, chksum=1) / datagram(SENT[V4])),
    ],
)
def test_what_is_no_error_about_a_udp_packet(message: bytes) -> None:
    with pytest.raises(IcmpError):
        parse_icmp4(message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        bytes(ICMPv6ParamProblem() / datagram(SENT[V6])),
        bytes(ICMPv6PacketTooBig() / Raw(bytes(datagram(SENT[V6]))[:47])),
        bytes(ICMPv6PacketTooBig() / datagram(SENT[V4])),
        bytes(ICMPv6PacketTooBig() / datagram(SENT[V6], nh=44)),
        bytes(ICMPv6PacketTooBig() / datagram(SENT[V6], src="::ffff:203.0.113.10")),
    ],
)
def test_what_is_no_error_about_a_udp_packet_in_ipv6(message: bytes) -> None:
    with pytest.raises(IcmpError):
        parse_icmp6(message)


@given(st.data())
def test_whatever_comes_is_translated_or_refused(data: st.DataObject) -> None:
    family, to = data.draw(st.sampled_from(COMBINATIONS))
    kind = data.draw(st.sampled_from(["too big", "port"]))
    message = bytearray(error(family, kind, datagram(SENT[family])))
    for _ in range(data.draw(st.integers(0, 4))):
        position = data.draw(st.integers(0, len(message) - 1))
        message[position] = data.draw(st.integers(0, 255))
    cut = bytes(message[: data.draw(st.integers(0, len(message)))])
    if family == V4 and len(cut) >= 4:  # else the checksum refuses nearly everything
        right = checksum(cut[:2] + b"\0\0" + cut[4:])
        cut = cut[:2] + right.to_bytes(2, "big") + cut[4:]
    try:
        answer = translate(parse(family, cut), *CAME[to])
    except IcmpError:
        return
    header = 40 if to == V6 else 20
    assert 8 + header + 8 <= len(answer) <= (1280 - 40 if to == V6 else 576 - 20)
    packet = (IPv6 if to == V6 else IP)(answer[8:])
    assert (Endpoint(packet.src, packet.sport), Endpoint(packet.dst, packet.dport)) == CAME[to]
