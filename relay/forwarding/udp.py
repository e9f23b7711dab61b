"""UDP sockets of the agent: how they are made, and what may go wrong."""

import array
import errno
import socket
import struct
from collections import Counter

from relay.errors import BindError
from relay.wire.endpoint import Endpoint

MAX_DATAGRAM = 65_536
# Small packets take some 2 to 5 KB each, so this is a burst of 10 ms at 200 kpps.
BUFFER_SIZE = 8 << 20  # bytes

# linux/in.h and linux/in6.h; the socket module lacks them.
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER = 10, 23
PMTUDISC_DONT = 0
# asm-generic/socket.h; the first of each pair needs CAP_NET_ADMIN.
_BUFFERS = (33, socket.SO_RCVBUF), (32, socket.SO_SNDBUF)


def bind_udp(local: Endpoint, *, share_port: bool = False) -> socket.socket:
    """A non-blocking UDP socket at a transport address; port 0 takes any.

    Args:
        local: The address.
        share_port: Whether others of this user that share it, too, may be bound to the same.

    Raises:
        BindError: It cannot be had; its cause is the kernel's error.
    """
    family = local.family
    try:
        udp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise BindError(f"no socket for {local}: {error.strerror}") from error
    try:
        if family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for forced, wished in _BUFFERS:
            try:
                udp.setsockopt(socket.SOL_SOCKET, forced, BUFFER_SIZE)
            except PermissionError:  # then as much as net.core.rmem_max and wmem_max allow
                udp.setsockopt(socket.SOL_SOCKET, wished, BUFFER_SIZE)
        allow_fragmentation(udp, family)
        if share_port:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        udp.bind(local)
    except OSError as error:
        udp.close()
        raise BindError(f"cannot bind {local}: {bind_advice(error)}") from error
    return udp


def allow_fragmentation(udp: socket.socket, family: int) -> None:
    """Let the kernel fragment what is too big for the path, instead of refusing to send it.

    The relay cannot make a sender's packets smaller (RFC 4787, REQ-13).
    """
    if family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DONT)
    else:
        udp.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DONT)


def attach_filter(udp: socket.socket, option: int, program: bytes) -> None:
    """Give the kernel a program of classic BPF.

    Args:
        udp: The socket.
        option: What the program is for, such as SO_ATTACH_FILTER.
        program: An array of struct sock_filter, of 8 bytes each.

    Raises:
        OSError: The kernel refuses it.
    """
    instructions = array.array("B", program)
    address, size = instructions.buffer_info()
    udp.setsockopt(socket.SOL_SOCKET, option, struct.pack("@HP", size // 8, address))


def count_failure(counters: Counter[str], number: int | None) -> None:
    """Count a datagram that could not be sent or received, by the kernel's error number.

    A connected socket reports an earlier ICMP error here. It never ends a flow (RFC 4787 REQ-12):
    the datagram is lost, as it would be on the way.
    """
    name = errno.errorcode.get(number or 0, "unknown").lower()
    counters[f"send_failed_{name}"] += 1


def bind_advice(error: OSError) -> str:
    """Why an address cannot be bound, and what to do."""
    if error.errno == errno.EADDRNOTAVAIL:
        return "this host does not have that address"
    if error.errno == errno.EADDRINUSE:
        return "another process has that port: stop it, or choose another port"
    if error.errno == errno.EACCES:
        return "ports below 1024 need root or CAP_NET_BIND_SERVICE"
    return str(error.strerror)
