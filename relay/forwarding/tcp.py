"""TCP sockets on which clients connect: how they are made, and what is sent at once."""

import resource
import socket

from relay.errors import BindError
from relay.forwarding.udp import bind_advice
from relay.wire.endpoint import Endpoint

BACKLOG = 128  # connections that wait to be accepted
# What the kernel may hold of a connection, each way: with these, a thousand that their clients
# fill, and read nothing of, take some 200 MB.
_BUFFER_SIZE = 65_536  # bytes
# What waits in the kernel for its turn is late when it gets it: half a second of voice.
_NOT_SENT = 8_192  # bytes
_GIVE_UP_AFTER = 30_000  # milliseconds without an acknowledgement
_RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # struct linger: on, 0 s


def bind_tcp(local: Endpoint) -> socket.socket:
    """A non-blocking TCP socket that listens; what is accepted from it has its options.

    Raises:
        BindError: The address cannot be had; its cause is the kernel's error.
    """
    try:
        tcp = socket.socket(local.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise BindError(f"no socket for {local}: {error.strerror}") from error
    try:
        _set_options(tcp)
        tcp.bind(local)
        tcp.listen(BACKLOG)
    except OSError as error:
        tcp.close()
        raise BindError(f"cannot listen on {local} for TCP: {bind_advice(error, local)}") from error
    return tcp


def affordable(connections: int) -> int:
    """As many connections as leave half of the files that this process may open to others.

    Each takes two: itself, and the socket towards its transceiver.

    Args:
        connections: How many are wanted.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if limit == resource.RLIM_INFINITY else min(connections, limit // 4)


def _set_options(tcp: socket.socket) -> None:
    if tcp.family == socket.AF_INET6:
        tcp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    # A restarted relay has its address back though connections of the old one linger.
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Before it listens: a client is told in the first packet how large the window may become.
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_SIZE)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_SIZE)
    # Closing resets: the client knows at once, and the kernel keeps nothing of who is refused.
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GIVE_UP_AFTER)
