"""UDP sockets of the agent: how they are made, and what may go wrong."""

import array
import errno
import socket
import struct
from collections import Counter
from collections.abc import Mapping

from relay.errors import BindError
from relay.linux import ignore_path_mtu, sysctl
from relay.wire.endpoint import Endpoint

MAX_DATAGRAM = 65_536
# Small packets take some 2 to 5 KB each, so this is a burst of 10 ms at 200 kpps.
BUFFER_SIZE = 8 << 20  # bytes

# What a socket says of each datagram's DSCP and ECN: see `relay.forwarding.msghdr`.
_TELL_TOS: Mapping[int, tuple[int, int]] = {
    socket.AF_INET: (socket.IPPROTO_IP, socket.IP_RECVTOS),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS),
}

# From the kernel's UAPI headers; the socket module lacks them.
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_RETURN_NOTHING = struct.pack("@HBBI", 0x06, 0, 0, 0)  # struct sock_filter: BPF_RET | BPF_K, 0

# asm-generic/socket.h; the first of each pair needs CAP_NET_ADMIN.
_BUFFERS = (33, socket.SO_RCVBUF), (32, socket.SO_SNDBUF)

SWITCH_IPV6_ON = "sysctl -w net.ipv6.conf.all.disable_ipv6=0"


def bind_udp(local: Endpoint, *, share_port: bool = False) -> socket.socket:
    """A non-blocking UDP socket at a transport address; port 0 takes any.

    Args:
        local: The address.
        share_port: Whether others of this user that share it, too, may be bound to the same. It
            receives nothing until `receive_from_now_on`.

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
        ignore_path_mtu(udp, family)
        udp.setsockopt(*_TELL_TOS[family], 1)
        if share_port:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            receive_nothing(udp)
        udp.bind(local)
    except OSError as error:
        udp.close()
        raise BindError(f"cannot bind {local}: {bind_advice(error, local)}") from error
    return udp


def receive_nothing(sock: socket.socket) -> None:
    """Let the kernel drop what comes for a socket, of any kind, until `receive_from_now_on`."""
    attach_filter(sock, _SO_ATTACH_FILTER, _RETURN_NOTHING)


def receive_from_now_on(sock: socket.socket) -> None:
    """End what `receive_nothing` has begun."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def attach_filter(udp: socket.socket, option: int, program: bytes) -> None:
    """Give the kernel a program of classic BPF.

    Args:
        udp: The socket.
        option: What the program is for, such as SO_ATTACH_REUSEPORT_CBPF.
        program: An array of struct sock_filter, of 8 bytes each.

    Raises:
        OSError: The kernel refuses it.
    """
    instructions = array.array("B", program)
    address, size = instructions.buffer_info()
    udp.setsockopt(socket.SOL_SOCKET, option, struct.pack("@HP", size // 8, address))


def count_failure(counters: Counter[str], number: int | None) -> None:
    """Count a datagram that could not be sent or received, by the kernel's error number.

    It never ends a flow (RFC 4787 REQ-12): the datagram is lost, as it would be on the way. What a
    connected socket says of an earlier ICMP error is none (`TOLD_BY_ICMP`).
    """
    name = errno.errorcode.get(number or 0, "unknown").lower()
    counters[f"send_failed_{name}"] += 1


def bind_advice(error: OSError, local: Endpoint) -> str:
    """Why an address cannot be bound, and what to do."""
    if error.errno == errno.EADDRNOTAVAIL:
        if local.family == socket.AF_INET6 and ipv6_is_off():
            return f"IPv6 is switched off on this host: {SWITCH_IPV6_ON}"
        return (
            "this host does not have that address: correct it, or `ip address add "
            f"{local.host}/{128 if ':' in local.host else 32} dev lo`"
        )
    if error.errno == errno.EADDRINUSE:
        return (
            f"another process has that port: stop it (`ss -lntup sport = :{local.port}` tells "
            "which), or choose another port"
        )
    if error.errno == errno.EACCES:
        return "ports below 1024 need root or CAP_NET_BIND_SERVICE"
    return str(error.strerror)


def ipv6_is_off() -> bool:
    """Whether this network namespace gives interfaces no IPv6 addresses, by its settings."""
    try:
        return sysctl("net/ipv6/conf/all/disable_ipv6") != 0
    except OSError:  # a kernel without IPv6
        return True
