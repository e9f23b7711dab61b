"""How the agent sends and receives at upstream addresses: by a socket for each flow.

Each flow has an upstream port of its own. Where the kernel forwards, `relay.forwarding.steered`
does with one socket for all.
"""

import asyncio
import errno
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from relay.core.flow import Flow, State
from relay.errors import BindError
from relay.forwarding.fastpath import BATCH, FastPath
from relay.forwarding.flowcache import CachedFlow
from relay.forwarding.mmsg import to_sockaddr
from relay.forwarding.udp import bind_udp, count_failure
from relay.wire.endpoint import Endpoint

if TYPE_CHECKING:
    from socket import socket

# What is read before others on the event loop get their turn: a few milliseconds at most.
MAX_BATCHES = 4

Received = Callable[[Flow, bytes, int], None]  # whose, what, and its DSCP and ECN

_IN_USE = (errno.EADDRINUSE, errno.EACCES)


class Upstreams(Protocol):
    """The agent's side of upstream addresses."""

    def listen(self) -> None:
        """Take what transceivers send from now on; what came before waits."""

    def open(self, flow: Flow) -> bool:
        """Make ready to send and receive for a flow; False when another process has its port.

        Raises:
            BindError: The address is not on this host, too many files are open, or there is no way
                to the transceiver.
        """

    def confirm(self, flow: Flow) -> None:
        """A flow is confirmed and installed: its datagrams may take the fast path."""

    def close(self, flow: Flow) -> None:
        """Receive nothing for a flow any more; one that is not open is fine."""

    def find(self, upstream: Endpoint) -> Flow | None:
        """The flow that is open at an upstream address."""

    def send(self, flow: Flow, data: bytes, tos: int) -> None:
        """Send from a flow's upstream address to its transceiver, with this DSCP and ECN."""

    def shutdown(self) -> None:
        """Close everything."""


class PerFlowSockets:
    """A connected socket for each flow: the kernel lets only its transceiver in (REQ-8).

    Args:
        loop: It watches the sockets.
        fast: Forwards what belongs to confirmed flows, and sends.
        vip_fd: Finds the socket of a VIP, which is packed.
        received: Gets the rest of what transceivers send.
        prepare: Given each socket when it is bound.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fast: FastPath,
        vip_fd: Callable[[bytes], int],
        received: Received,
        *,
        prepare: "Callable[[socket], None]" = lambda _: None,
    ) -> None:
        self._loop = loop
        self._fast = fast
        self._vip_fd = vip_fd
        self._received = received
        self._prepare = prepare
        self._sockets: dict[Flow, socket] = {}
        self._flows: dict[int, Flow] = {}  # by socket
        self._addresses: dict[bytes, Flow] = {}  # by upstream address, packed
        # The event loop watches all of them as one, and is told of many at a time.
        self._ready = select.epoll()

    def listen(self) -> None:
        """See `Upstreams.listen`."""
        self._loop.add_reader(self._ready, self._read)

    def open(self, flow: Flow) -> bool:
        """See `Upstreams.open`."""
        try:
            udp = bind_udp(flow.addresses.upstream)
        except BindError as error:
            cause = error.__cause__
            if isinstance(cause, OSError):
                if cause.errno in _IN_USE:
                    return False
                count_failure(self._fast.counters, cause.errno)
            raise
        try:
            self._prepare(udp)
            udp.connect(flow.addresses.transceiver)
            self._ready.register(udp, select.EPOLLIN)
        except OSError as error:  # such as no route, a rule that prohibits it, no memory
            udp.close()
            count_failure(self._fast.counters, error.errno)
            raise BindError(
                f"{flow.addresses.upstream} cannot send to {flow.addresses.transceiver}: "
                f"{error.strerror}"
            ) from error
        self._keep(flow, udp)
        return True

    def adopt(self, flow: Flow, udp: "socket") -> None:
        """Go on with the socket of a flow that another process has opened, whatever waits in it.

        Raises:
            OSError: There is no memory for it.
        """
        self._prepare(udp)
        self._ready.register(udp, select.EPOLLIN)
        self._keep(flow, udp)

    def confirm(self, flow: Flow) -> None:
        """See `Upstreams.confirm`."""
        udp = self._sockets.get(flow)
        if udp is not None:
            parts = flow.addresses
            vip_fd, client = self._vip_fd(parts.packed_vip), to_sockaddr(parts.packed_client)
            self._fast.cache.add(CachedFlow(flow, vip_fd, client, udp.fileno()))

    def close(self, flow: Flow) -> None:
        """See `Upstreams.close`."""
        udp = self._sockets.pop(flow, None)
        if udp is not None:
            self._fast.outbox.flush()
            self._fast.cache.remove(udp.fileno())
            self._ready.unregister(udp)
            del self._flows[udp.fileno()]
            udp.close()
            del self._addresses[flow.addresses.packed_upstream]

    def has(self, flow: Flow) -> bool:
        """Whether a flow is open here."""
        return flow in self._sockets

    def opened(self, flow: Flow) -> "socket | None":
        """The socket of a flow; None if it is not open here."""
        return self._sockets.get(flow)

    def find(self, upstream: Endpoint) -> Flow | None:
        """See `Upstreams.find`."""
        return self._addresses.get(upstream.packed)

    def send(self, flow: Flow, data: bytes, tos: int) -> None:
        """See `Upstreams.send`."""
        udp = self._sockets.get(flow)
        if udp is not None:
            self._fast.outbox.send(udp.fileno(), data, tos)

    def shutdown(self) -> None:
        """See `Upstreams.shutdown`."""
        for flow in list(self._sockets):
            self.close(flow)
        self._loop.remove_reader(self._ready)
        self._ready.close()

    def _keep(self, flow: Flow, udp: "socket") -> None:
        self._sockets[flow] = udp
        self._flows[udp.fileno()] = flow
        self._addresses[flow.addresses.packed_upstream] = flow
        if flow.state is State.CONFIRMED:
            self.confirm(flow)

    def _read(self) -> None:
        depth = 1
        for _ in range(MAX_BATCHES):
            fds = [fd for fd, _ in self._ready.poll(0, BATCH)]
            if not fds:
                return
            # Sockets that have more and more waiting are asked more and more often at once.
            depth = min(depth, BATCH // len(fds))
            with self._fast.outbox:
                self._fast.from_transceivers(fds * depth, self._slow_path)
            depth *= 2

    def _slow_path(self, data: bytes, fd: int, tos: int) -> None:
        flow = self._flows.get(fd)
        if flow is not None:  # a datagram before may have closed this very socket
            self._received(flow, data, tos)
