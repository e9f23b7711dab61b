"""Plain sockets that say and hear DSCP and ECN, by the standard library."""

import socket
import struct

from relay.wire.endpoint import Endpoint

EF, ECT0, CE = 46 << 2, 0b10, 0b11  # expedited forwarding (RFC 3246); RFC 3168
HOSTS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}

_SEND = {
    socket.AF_INET: (socket.IPPROTO_IP, socket.IP_TOS),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
}
_TELL = {
    socket.AF_INET: (socket.IPPROTO_IP, socket.IP_RECVTOS),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS),
}


def marking_socket(family: int) -> socket.socket:
    """One that is told of what comes, on this host."""
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.bind((HOSTS[socket.AddressFamily(family)], 0))
    udp.settimeout(5)
    tell(udp)
    return udp


def tell(udp: socket.socket) -> None:
    """Have a socket told of what comes."""
    udp.setsockopt(*_TELL[udp.family], 1)


def send(udp: socket.socket, data: bytes, tos: int, to: Endpoint | None = None) -> None:
    """Send a datagram with this TOS or traffic class."""
    control = [(*_SEND[udp.family], struct.pack("i", tos))]
    udp.sendmsg([data], control, 0, *([to] if to else []))


def receive(udp: socket.socket) -> tuple[bytes, int]:
    """A datagram, and its TOS or traffic class."""
    data, ((level, kind, value),), _, _ = udp.recvmsg(70_000, 64)
    assert (level, kind) == _SEND[udp.family]
    return data, value[0]
