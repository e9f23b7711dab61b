"""Scapy's opinion of packets that were forwarded, which it reads and builds in its own way."""

from typing import Any

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

from tests.bpf.model import Expected


def require_scapy_agrees(came: bytes, expected: Expected) -> None:
    """What came right leaves as scapy would build it, and what came wrong leaves wrong."""
    packet = Ether(came)
    length = packet[IP].len - 20 if IP in packet else packet[IPv6].plen
    if packet[UDP].len != length:
        return  # scapy takes the longer of the two for the checksum
    if is_right(came):
        assert built_by_scapy(came, expected) == expected.frame, came.hex()
    else:
        assert not is_right(expected.frame), came.hex()


def is_right(frame: bytes) -> bool:
    """Whether a packet's checksums are those that scapy computes, or it has none."""
    packet = Ether(frame)
    if IP in packet:
        del packet[IP].chksum
    if packet[UDP].chksum != 0:
        del packet[UDP].chksum
    return bytes(packet) == frame


def built_by_scapy(came: bytes, expected: Expected) -> bytes:
    """The frame that leaves, from the fields of the one that came."""
    before, after = Ether(came), Ether(expected.frame)
    udp, entry = before[UDP], expected.entry
    assert entry is not None
    source, destination = entry.source.endpoint, entry.destination.endpoint
    own: dict[str, Any]
    translated = (IP in before) != (IP in after)
    if IP in before:
        ip_length, ttl, tos = before[IP].len - 20, before[IP].ttl, before[IP].tos
        own = {} if translated else {"id": before[IP].id, "flags": before[IP].flags}
    else:
        ip_length, ttl, tos = before[IPv6].plen, before[IPv6].hlim, before[IPv6].tc
        own = {"id": 0, "flags": "DF"} if translated else {"fl": before[IPv6].fl}
    packet: Packet = Ether(src=after.src, dst=after.dst)
    if Dot1Q in after:
        packet /= Dot1Q(vlan=after.vlan)
    ends: dict[str, Any] = {"src": source.host, "dst": destination.host}
    if len(entry.destination.host) == 4:
        packet /= IP(**ends, ttl=ttl - 1, tos=tos, len=20 + ip_length, **own)
    else:
        packet /= IPv6(**ends, hlim=ttl - 1, tc=tos, plen=ip_length, nh=17, **own)
    packet /= UDP(sport=source.port, dport=destination.port, len=udp.len)
    if udp.chksum == 0:
        packet[UDP].chksum = 0
    data = bytes(udp.payload)  # with what is behind it
    return bytes(packet / Raw(data[: udp.len - 8])) + data[udp.len - 8 :]
