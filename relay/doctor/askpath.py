"""Asks the kernel, and routers, how large packets are that a way carries whole."""

import errno
import socket

from relay.doctor.links import SMALLEST
from relay.linux import IP_MTU_DISCOVER, IPV6_MTU_DISCOVER
from relay.wire.endpoint import Endpoint

# linux/in.h and linux/in6.h: what the kernel knows of a connected socket's way; and sending packets
# of any size that fits the interface, which no router may cut.
_IP_MTU, _IPV6_MTU, _PROBE = 14, 24, 3
_HEADERS = {socket.AF_INET: 28, socket.AF_INET6: 48}  # bytes of IP and UDP
_SOMEWHERE = {4: Endpoint("198.51.100.0", 9), 6: Endpoint("2001:db8::", 9)}  # RFC 5737, 3849


def towards_clients(host: str) -> int | None:
    """The MTU of the route by which an address of this host reaches the Internet; nothing is sent.

    Returns:
        Bytes; None where there is no such route.
    """
    local = Endpoint(host, 0)
    try:
        with socket.socket(local.family, socket.SOCK_DGRAM) as udp:
            udp.bind(local)
            udp.connect(_SOMEWHERE[6 if local.family == socket.AF_INET6 else 4])
            return known(udp)
    except OSError:
        return None


def probe(udp: socket.socket) -> None:
    """Send a packet of `SMALLEST` bytes along a connected socket's way, which no router may cut.

    One that it does not fit says so by ICMP, after which `known` tells. It is all zeros, which is
    nothing to a transceiver. The socket takes such packets from now on.

    Raises:
        OSError: Nothing can be sent that way; that it does not fit is no such error.
    """
    if udp.family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, _PROBE)
    else:
        udp.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, _PROBE)
    try:
        udp.send(bytes(SMALLEST - _HEADERS[udp.family]))
    except OSError as error:
        if error.errno != errno.EMSGSIZE:
            raise


def known(udp: socket.socket) -> int | None:
    """What the kernel knows to be the MTU of a connected socket's way; None where it tells none."""
    six = udp.family == socket.AF_INET6
    level, option = (socket.IPPROTO_IPV6, _IPV6_MTU) if six else (socket.IPPROTO_IP, _IP_MTU)
    try:
        return udp.getsockopt(level, option)
    except OSError:
        return None
