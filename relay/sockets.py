"""UDP sockets of the agent: how they are made, and those on the VIPs."""

import asyncio
import contextlib
import errno
import socket
from collections import Counter
from collections.abc import Callable

from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError

# What is read from one socket before the others get their turn.
BATCH = 64
MAX_DATAGRAM = 65_536
# A burst at 100 kpps that waits 20 ms for the agent.
BUFFER_SIZE = 4 << 20  # bytes

# linux/in.h and linux/in6.h; the socket module lacks them.
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER = 10, 23
PMTUDISC_DONT = 0

Received = Callable[[bytes, Endpoint, Endpoint], None]


class BindError(Exception):
    """A transport address cannot be bound; the text says why and what to do."""


class VipSockets:
    """A socket on each VIP.

    Args:
        loop: It watches the sockets.
        counters: Where datagrams that could not be sent are counted.
        received: Gets each datagram, its source and the VIP.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, counters: Counter[str], received: Received
    ) -> None:
        self._loop = loop
        self._counters = counters
        self._received = received
        self._sockets: dict[Endpoint, socket.socket] = {}

    def open(self, vip: Endpoint) -> None:
        """Listen on a VIP.

        Raises:
            BindError: The address is not on this host, or the port is taken.
        """
        udp = bound(vip)
        self._sockets[vip] = udp
        self._loop.add_reader(udp, self._read, udp, vip)

    def send(self, vip: Endpoint, client: Endpoint, data: bytes) -> None:
        """Send from a VIP to a client."""
        try:
            self._sockets[vip].sendto(data, client)
        except OSError as error:
            count_failure(self._counters, error)

    def shutdown(self) -> None:
        """Close all sockets."""
        for udp in self._sockets.values():
            self._loop.remove_reader(udp)
            udp.close()
        self._sockets.clear()

    def _read(self, udp: socket.socket, vip: Endpoint) -> None:
        for _ in range(BATCH):
            try:
                data, source = udp.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:
                count_failure(self._counters, error)
                return
            try:
                client = Endpoint.of(source)
            except EndpointError:  # a link-local source: its zone means nothing to other hosts
                self._counters["unsupported_source"] += 1
                continue
            self._received(data, client, vip)


def bound(local: Endpoint) -> socket.socket:
    """A non-blocking UDP socket at a transport address; port 0 takes any.

    Raises:
        BindError: It cannot be had; its cause is the kernel's error.
    """
    try:
        udp = socket.socket(local.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise BindError(f"no socket for {local}: {error.strerror}") from error
    try:
        if local.family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for size in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            with contextlib.suppress(OSError):  # a larger buffer is a wish
                udp.setsockopt(socket.SOL_SOCKET, size, BUFFER_SIZE)
        let_fragment(udp)
        udp.bind(local)
    except OSError as error:
        udp.close()
        raise BindError(f"cannot bind {local}: {_advice(error)}") from error
    return udp


def let_fragment(udp: socket.socket) -> None:
    """Let the kernel fragment what is too big for the way, instead of refusing to send it.

    The relay cannot make a sender's packets smaller (RFC 4787, REQ-13).
    """
    if udp.family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DONT)
    else:
        udp.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DONT)


def count_failure(counters: Counter[str], error: OSError) -> None:
    """Count a datagram that could not be sent or received, by the kernel's error.

    A connected socket reports an earlier ICMP error here. It never ends a flow (RFC 4787 REQ-12):
    the datagram is lost, as it would be on the way.
    """
    name = errno.errorcode.get(error.errno or 0, "unknown").lower()
    counters[f"send_failed_{name}"] += 1


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return "this host does not have that address"
    if error.errno == errno.EADDRINUSE:
        return "another process has that port"
    if error.errno == errno.EACCES:
        return "ports below 1024 need root or CAP_NET_BIND_SERVICE"
    return str(error.strerror)
