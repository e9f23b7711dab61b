"""IPv4 packets with UDP in them, as they are on the wire. Pure."""

import struct

from relay.wire.checksum import internet_checksum
from relay.wire.endpoint import Endpoint

ETHERNET_SIZE, IP_SIZE, UDP_SIZE = 14, 20, 8
TTL = 64

_ETHERTYPE = b"\x08\x00"
_DONT_FRAGMENT = 0x4000
_UDP = 17


def packet(source: Endpoint, destination: Endpoint, payload: bytes) -> bytes:
    """A packet, from the IPv4 header on, with both checksums."""
    addresses = source.packed[12:16] + destination.packed[12:16]
    length = UDP_SIZE + len(payload)
    udp = struct.pack("!HHHH", source.port, destination.port, length, 0) + payload
    # RFC 768: addresses, protocol and length count as well, and a computed 0 is sent as 0xffff.
    checksum = internet_checksum(addresses + struct.pack("!HH", _UDP, length) + udp) or 0xFFFF
    head = struct.pack("!BBHHHBBH", 0x45, 0, IP_SIZE + length, 0, _DONT_FRAGMENT, TTL, _UDP, 0)
    ip_checksum = struct.pack("!H", internet_checksum(head + addresses))
    return head[:10] + ip_checksum + addresses + udp[:6] + struct.pack("!H", checksum) + payload


def frame(destination_mac: bytes, source_mac: bytes, packet: bytes) -> bytes:
    """The Ethernet frame around a packet."""
    return destination_mac + source_mac + _ETHERTYPE + packet
