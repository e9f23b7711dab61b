"""Parsing of captured frames: Ethernet, IPv4 or IPv6, UDP, RTP. Pure."""

import struct
from dataclasses import dataclass
from socket import AF_INET, AF_INET6, inet_ntop

from relay.wire.demux import Kind, classify
from relay.wire.endpoint import Endpoint

_ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = 0x0800, 0x86DD
_UDP = 17
_ETHERNET_SIZE, _IPV6_SIZE, _UDP_SIZE, _RTP_SIZE = 14, 40, 8, 12
_IPV4_FRAGMENT = 0x3FFF  # more-fragments flag and offset
_RTCP_TYPES = range(192, 224)  # RFC 5761, section 4: the second byte tells RTCP from RTP


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP datagram as it was on the wire.

    Attributes:
        source: Source transport address.
        destination: Destination transport address.
        payload: The UDP payload.
        intact: Whether the IPv4 header checksum and the UDP checksum are correct.
    """

    source: Endpoint
    destination: Endpoint
    payload: bytes
    intact: bool

    @property
    def rtp(self) -> tuple[int, int] | None:
        """SSRC and sequence number, which SRTP leaves readable; None when it is not RTP."""
        data = self.payload
        if classify(data) is not Kind.RTP or len(data) < _RTP_SIZE or data[1] in _RTCP_TYPES:
            return None
        sequence, _, ssrc = struct.unpack_from("!HII", data, 2)
        return ssrc, sequence


def parse(frame: bytes) -> Datagram | None:
    """The UDP datagram in an Ethernet frame; None for anything else and for fragments."""
    if len(frame) < _ETHERNET_SIZE:
        return None
    (ethertype,) = struct.unpack_from("!H", frame, 12)
    packet = memoryview(frame)[_ETHERNET_SIZE:]
    if ethertype == _ETHERTYPE_IPV4 and len(packet) >= 20:
        return _ipv4(packet)
    if ethertype == _ETHERTYPE_IPV6 and len(packet) >= _IPV6_SIZE:
        return _ipv6(packet)
    return None


def _ipv4(packet: memoryview) -> Datagram | None:
    header = (packet[0] & 0x0F) * 4
    (length,) = struct.unpack_from("!H", packet, 2)
    (fragment,) = struct.unpack_from("!H", packet, 6)
    if packet[9] != _UDP or fragment & _IPV4_FRAGMENT or not header <= length <= len(packet):
        return None
    udp = packet[header:length]
    return _udp(
        AF_INET,
        packet[12:16],
        packet[16:20],
        udp,
        intact=_internet_checksum(packet[:header]) == 0xFFFF,
    )


def _ipv6(packet: memoryview) -> Datagram | None:
    (length,) = struct.unpack_from("!H", packet, 4)
    if packet[6] != _UDP or length > len(packet) - _IPV6_SIZE:
        return None
    udp = packet[_IPV6_SIZE : _IPV6_SIZE + length]
    return _udp(AF_INET6, packet[8:24], packet[24:40], udp, intact=True)


def _udp(
    family: int, source: memoryview, destination: memoryview, udp: memoryview, *, intact: bool
) -> Datagram | None:
    if len(udp) < _UDP_SIZE:
        return None
    from_port, to_port, length, checksum = struct.unpack_from("!HHHH", udp)
    if checksum == 0:
        intact = intact and family == AF_INET  # RFC 768 allows none, RFC 8200 does not
    else:
        # RFC 768 and RFC 8200, section 8.1: addresses, length and protocol count as well.
        pseudo = bytes(source) + bytes(destination) + struct.pack("!II", len(udp), _UDP)
        intact = intact and _internet_checksum(pseudo + bytes(udp)) == 0xFFFF
    return Datagram(
        source=Endpoint(inet_ntop(family, source), from_port),
        destination=Endpoint(inet_ntop(family, destination), to_port),
        payload=bytes(udp[_UDP_SIZE:length]),
        intact=intact and length == len(udp),
    )


def _internet_checksum(data: bytes | memoryview) -> int:
    """One's complement sum of 16-bit words (RFC 1071); 0xffff over data with a correct checksum."""
    if len(data) % 2:
        data = bytes(data) + b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total
