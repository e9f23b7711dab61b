"""The sockets on the VIPs."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from relay.core.flowtuple import FlowTuple, Source
from relay.forwarding.fastpath import FastPath
from relay.forwarding.mmsg import from_sockaddr, to_sockaddr
from relay.forwarding.udp import bind_udp
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError

if TYPE_CHECKING:
    from socket import socket

# What is read before others on the event loop get their turn: a few milliseconds at most.
MAX_BATCHES = 4

Received = Callable[[bytes, Source, int], None]  # what, from whom, and its DSCP and ECN


class VipSockets:
    """A socket on each VIP.

    Args:
        loop: It watches the sockets.
        counters: Where datagrams that could not be sent are counted.
        fast: Forwards what belongs to confirmed flows.
        received: Gets each of the other datagrams and its source.
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
        self._by_packed: dict[bytes, tuple[int, int]] = {}  # descriptor and family

    def open(self, vip: Endpoint, udp: "socket | None" = None) -> None:
        """Bind a VIP, or take a socket that is bound to it; what comes waits until `listen`.

        Raises:
            BindError: The address is not on this host, or the port is taken.
        """
        udp = udp or bind_udp(vip)
        self._sockets[vip] = udp
        self._by_packed[vip.packed] = udp.fileno(), udp.family
        self._fast.add_vip(udp.fileno(), udp.family)

    @property
    def sockets(self) -> "Mapping[Endpoint, socket]":
        """All that are open, by their VIPs."""
        return self._sockets

    def listen(self) -> None:
        """Read from all VIPs from now on."""
        for vip, udp in self._sockets.items():
            self._loop.add_reader(udp, self._read, udp.fileno(), vip.packed)

    def fileno(self, vip: bytes) -> int:
        """The socket on a VIP, which is packed."""
        return self._by_packed[vip][0]

    def send(self, flow: FlowTuple, data: bytes, tos: int) -> None:
        """Send from a flow's VIP to its client, with this DSCP and ECN."""
        fd, family = self._by_packed[flow.packed_vip]
        self._fast.outbox.send_to(fd, family, to_sockaddr(flow.packed_client), data, tos)

    def flush(self) -> None:
        """Send now what waits for the end of a batch, by whichever socket."""
        self._fast.outbox.flush()

    def shutdown(self) -> None:
        """Close all sockets."""
        self.flush()
        for udp in self._sockets.values():
            self._loop.remove_reader(udp)
            udp.close()
        self._sockets.clear()

    def _read(self, fd: int, vip: bytes) -> None:
        def slow_path(data: bytes, sockaddr: bytes, tos: int) -> None:
            try:
                source = Source.of(from_sockaddr(sockaddr), vip)
            except EndpointError:  # a source to which nothing may be sent, or nothing can be
                self._counters["unsupported_source"] += 1
            else:
                self._received(data, source, tos)

        for _ in range(MAX_BATCHES):
            with self._fast.outbox:
                more = self._fast.from_clients(fd, slow_path)
            if not more:
                return
