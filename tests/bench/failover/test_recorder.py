"""What is read of a frame."""

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tests.bench.failover.recorder import Seen, read

RTP = bytes([0x80, 111, 1, 2, 0, 0, 0, 0, 0, 0, 0, 9]) + bytes(20)
TO_VIP = UDP(sport=50_000, dport=3478)


def test_rtp_is_read() -> None:
    frame = bytes(Ether() / IP() / TO_VIP / Raw(RTP))
    assert read(frame) == Seen(50_000, 3478, 0x0102, 9)


def test_anything_else_is_not() -> None:
    rtcp, stun = bytes([0x81, 200]) + RTP[2:], bytes([0, 1]) + RTP[2:]
    for frame in (
        Ether() / IP() / TO_VIP / Raw(rtcp),
        Ether() / IP() / TO_VIP / Raw(stun),
        Ether() / IPv6() / TO_VIP / Raw(RTP),
        Ether() / IP(proto=6) / Raw(bytes(8) + RTP),
        Ether() / IP() / TO_VIP / Raw(RTP[:8]),
        Ether(),
    ):
        assert read(bytes(frame)) is None
