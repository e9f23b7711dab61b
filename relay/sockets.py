"""The relay's UDP sockets: one on each VIP, one connected socket for each flow's upstream port."""

import asyncio
import contextlib
import errno
import socket
from collections import Counter
from collections.abc import Callable, Hashable

from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError

# What is read from one socket before the others get their turn.
BATCH = 64
MAX_DATAGRAM = 65_536
# A burst at 100 kpps that waits 20 ms for the agent.
BUFFER_SIZE = 4 << 20  # bytes

_IN_USE = (errno.EADDRINUSE, errno.EACCES)


class BindError(Exception):
    """A transport address cannot be bound; the text says why and what to do."""


class Sockets:
    """Sockets by what they are for, read by the event loop.

    Args:
        loop: The loop that watches them.
        counters: Where datagrams that could not be sent are counted.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, counters: Counter[str]) -> None:
        self._loop = loop
        self._counters = counters
        self._vips: dict[Endpoint, socket.socket] = {}
        self._upstreams: dict[Hashable, socket.socket] = {}

    def open_vip(
        self, vip: Endpoint, received: Callable[[bytes, Endpoint, Endpoint], None]
    ) -> None:
        """Listen on a VIP; `received` gets each datagram, its source and the VIP.

        Raises:
            BindError: The address is not on this host, or the port is taken.
        """
        udp = _bound(vip)
        self._vips[vip] = udp
        self._loop.add_reader(udp, self._read_vip, udp, vip, received)

    def open_upstream(
        self,
        owner: Hashable,
        local: Endpoint,
        remote: Endpoint,
        received: Callable[[bytes], None],
    ) -> bool:
        """Bind `local` and connect it, so that only `remote` is heard (RFC 4787 REQ-8).

        Returns False when another process has the port.

        Raises:
            BindError: The address is not on this host, or there are too many open files.
        """
        try:
            udp = _bound(local)
        except BindError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _IN_USE:
                return False
            raise
        udp.connect(remote)
        self._upstreams[owner] = udp
        self._loop.add_reader(udp, self._read_upstream, udp, received)
        return True

    def close_upstream(self, owner: Hashable) -> None:
        """Close a flow's socket; one that is not open is fine."""
        udp = self._upstreams.pop(owner, None)
        if udp is not None:
            self._close(udp)

    def send_vip(self, vip: Endpoint, client: Endpoint, data: bytes) -> None:
        """Send from a VIP to a client."""
        try:
            self._vips[vip].sendto(data, client)
        except OSError as error:
            self._count_failure(error)

    def send_upstream(self, owner: Hashable, data: bytes) -> None:
        """Send from a flow's socket to its transceiver."""
        udp = self._upstreams.get(owner)
        if udp is None:
            return
        try:
            udp.send(data)
        except OSError as error:
            self._count_failure(error)

    def close(self) -> None:
        """Close all sockets."""
        for udp in (*self._vips.values(), *self._upstreams.values()):
            self._close(udp)
        self._vips.clear()
        self._upstreams.clear()

    def _close(self, udp: socket.socket) -> None:
        self._loop.remove_reader(udp)
        udp.close()

    def _count_failure(self, error: OSError) -> None:
        # A connected socket reports an earlier ICMP error here. It never ends a flow (RFC 4787
        # REQ-12): the datagram is lost, as it would be on the way.
        name = errno.errorcode.get(error.errno or 0, "unknown").lower()
        self._counters[f"send_failed_{name}"] += 1

    def _read_vip(
        self,
        udp: socket.socket,
        vip: Endpoint,
        received: Callable[[bytes, Endpoint, Endpoint], None],
    ) -> None:
        for _ in range(BATCH):
            try:
                data, source = udp.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:
                self._count_failure(error)
                return
            try:
                client = Endpoint.of(source)
            except EndpointError:  # a link-local source: its zone means nothing to other hosts
                self._counters["unsupported_source"] += 1
                continue
            received(data, client, vip)

    def _read_upstream(self, udp: socket.socket, received: Callable[[bytes], None]) -> None:
        for _ in range(BATCH):
            # A datagram may have closed this very socket (a flow that was rebound or refused).
            if udp.fileno() < 0:
                return
            try:
                data = udp.recv(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:
                self._count_failure(error)
                return
            received(data)


def _bound(local: Endpoint) -> socket.socket:
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
        udp.bind(local)
    except OSError as error:
        udp.close()
        raise BindError(f"cannot bind {local}: {_advice(error)}") from error
    return udp


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return "this host does not have that address"
    if error.errno == errno.EADDRINUSE:
        return "another process has that port"
    if error.errno == errno.EACCES:
        return "ports below 1024 need root or CAP_NET_BIND_SERVICE"
    return str(error.strerror)
