"""The datagram in a frame, of frames that scapy has built."""

from random import Random

import pytest
from scapy.layers.inet import IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.ipsec import AH
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from relay.wire.endpoint import Endpoint
from relay.wire.frame import Datagram, read_frame

CLIENT, VIP = Endpoint("203.0.113.2", 40000), Endpoint("203.0.113.10", 3478)
CLIENT6, VIP6 = Endpoint("2001:db8::2", 40000), Endpoint("2001:db8::10", 3478)
PAYLOAD = b"\x80\x6f" + bytes(range(98))
DATAGRAM = UDP(sport=40000, dport=3478) / Raw(PAYLOAD)
IP4 = IP(src=CLIENT.host, dst=VIP.host)
IP6 = IPv6(src=CLIENT6.host, dst=VIP6.host)
FOUND = Datagram(CLIENT, VIP, len(PAYLOAD), PAYLOAD, is_whole=True)
FOUND6 = Datagram(CLIENT6, VIP6, len(PAYLOAD), PAYLOAD, is_whole=True)


@pytest.mark.parametrize(
    ("packet", "found"),
    [
        (Ether() / IP4 / DATAGRAM, FOUND),
        (Ether() / Dot1Q(vlan=5) / IP4 / DATAGRAM, FOUND),
        (Ether() / Dot1AD(vlan=5) / Dot1Q(vlan=6) / IP4 / DATAGRAM, FOUND),
        (
            Ether() / IP(src=CLIENT.host, dst=VIP.host, options=[IPOption_NOP()] * 8) / DATAGRAM,
            FOUND,
        ),
        (Ether() / IP4 / DATAGRAM / Raw(b""), FOUND),
        (Ether() / IP6 / DATAGRAM, FOUND6),
        (Ether() / IP6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / DATAGRAM, FOUND6),
        (Ether() / IP6 / AH(nh=17, payloadlen=4, icv=bytes(12)) / DATAGRAM, FOUND6),
        (Ether() / IP6 / IPv6ExtHdrFragment(m=1) / DATAGRAM, FOUND6._replace(is_whole=False)),
        (
            Ether() / IP6 / IPv6ExtHdrFragment(offset=9, nh=17) / Raw(bytes(80)),
            Datagram(CLIENT6._replace(port=0), VIP6._replace(port=0), 80, b"", is_whole=False),
        ),
        (
            Ether() / IP(src=CLIENT.host, dst=VIP.host, frag=9, proto=17) / Raw(bytes(80)),
            Datagram(CLIENT._replace(port=0), VIP._replace(port=0), 80, b"", is_whole=False),
        ),
        (Ether() / IP4 / TCP(), None),
        (Ether() / IP6 / TCP(), None),
        (Ether() / ARP(), None),
    ],
)
def test_what_is_in_a_frame(packet: Packet, found: Datagram | None) -> None:
    assert read_frame(bytes(packet)) == found


def test_the_end_of_a_frame_may_be_missing() -> None:
    frame = bytes(Ether() / IP4 / DATAGRAM)
    assert read_frame(frame[:60]) == FOUND._replace(payload=PAYLOAD[:18])
    assert read_frame(frame[:40]) == FOUND._replace(
        source=CLIENT._replace(port=0),
        target=VIP._replace(port=0),
        size=len(PAYLOAD) + 8,
        payload=b"",
    )
    assert read_frame(frame[:33]) is None


def test_padding_is_no_payload() -> None:
    short = Ether() / IP4 / UDP(sport=40000, dport=3478) / Raw(b"ab")
    found = read_frame(bytes(short) + bytes(16))
    assert found == FOUND._replace(size=2, payload=b"ab")


@pytest.mark.parametrize(
    "packet", [Ether() / IP4 / DATAGRAM, Ether() / IP6 / IPv6ExtHdrHopByHop() / DATAGRAM]
)
def test_any_bytes_are_read_or_refused(packet: Packet) -> None:
    random, frame = Random(7), bytes(packet)
    for _ in range(3000):
        changed = bytearray(frame[: random.randrange(len(frame))])
        for _ in range(random.randrange(4)):
            if changed:
                changed[random.randrange(len(changed))] = random.randrange(256)
        read_frame(bytes(changed))
