"""The sockets on the VIPs."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from relay.forwarding.fastpath import FastPath
from relay.forwarding.gro import enable_gro
from relay.forwarding.mmsg import unpack_sockaddr
from relay.forwarding.udp import bind_udp, count_failure
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError

if TYPE_CHECKING:
    from socket import socket

# What is read before others on the event loop get their turn: a few milliseconds at most.
MAX_BATCHES = 8

Received = Callable[[bytes, Endpoint, Endpoint], None]


class VipSockets:
    """A socket on each VIP.

    Args:
        loop: It watches the sockets.
        counters: Where datagrams that could not be sent are counted.
        fast: Forwards what belongs to confirmed flows.
        received: Gets each of the other datagrams, its source and the VIP.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        counters: Counter[str],
        fast: FastPath,
        received: Received,
    ) -> None:
        self._loop = loop
        self._counters = counters
        self._fast = fast
        self._received = received
        self._sockets: dict[Endpoint, socket] = {}

    def open(self, vip: Endpoint, udp: "socket | None" = None) -> None:
        """Bind a VIP, or take a socket that is bound to it; what comes waits until `listen`.

        Raises:
            BindError: The address is not on this host, or the port is taken.
        """
        udp = udp or bind_udp(vip)
        enable_gro(udp)
        self._sockets[vip] = udp
        self._fast.add_vip(udp.fileno(), udp.family)

    @property
    def sockets(self) -> "list[socket]":
        """All that are open."""
        return list(self._sockets.values())

    def listen(self) -> None:
        """Read from all VIPs from now on."""
        for vip, udp in self._sockets.items():
            self._loop.add_reader(udp, self._read, udp.fileno(), vip)

    def fileno(self, vip: Endpoint) -> int:
        """The socket on a VIP."""
        return self._sockets[vip].fileno()

    def send(self, vip: Endpoint, client: Endpoint, data: bytes) -> None:
        """Send from a VIP to a client."""
        try:
            self._sockets[vip].sendto(data, client)
        except OSError as error:
            count_failure(self._counters, error.errno)

    def shutdown(self) -> None:
        """Close all sockets."""
        for udp in self._sockets.values():
            self._loop.remove_reader(udp)
            udp.close()
        self._sockets.clear()

    def _read(self, fd: int, vip: Endpoint) -> None:
        def slow_path(data: bytes, source: bytes) -> None:
            try:
                client = unpack_sockaddr(source)
            except EndpointError:  # a link-local source: its zone means nothing to other hosts
                self._counters["unsupported_source"] += 1
            else:
                self._received(data, client, vip)

        for _ in range(MAX_BATCHES):
            if not self._fast.from_clients(fd, slow_path):
                return
