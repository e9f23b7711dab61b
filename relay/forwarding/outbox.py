"""What the slow path sends, while a batch is read: it leaves together, at the end of the batch.

One system call sends many datagrams, and whoever receives them is woken once instead of for each:
between processors, or on the way to a network card, that takes longer than the sending.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from socket import AF_INET, AF_INET6
from typing import Self

from relay.forwarding.batchio import BatchIO
from relay.forwarding.mmsg import BatchSender, PacketBuffers
from relay.forwarding.udp import count_failure

SIZE = 64  # datagrams that wait for each other


class Outbox:
    """Datagrams that wait while it is held, with `with`. Those of one socket stay in order.

    At other times it sends at once.

    Args:
        counters: Where datagrams that could not be sent are counted.
        open_io: Makes what serves connected sockets.
    """

    def __init__(self, counters: Counter[str], open_io: Callable[[PacketBuffers], BatchIO]) -> None:
        self._counters = counters
        self._buffers = PacketBuffers(SIZE)
        self._io = open_io(self._buffers)
        self._senders: Mapping[int, BatchSender] = {
            family: BatchSender(self._buffers, family) for family in (AF_INET, AF_INET6)
        }
        self._held = False
        # By which socket, what, and with which DSCP and ECN.
        self._connected: list[tuple[int, bytes, int]] = []
        # By address family: by which socket, where to, what, and with which DSCP and ECN.
        self._addressed: dict[int, list[tuple[int, bytes, bytes, int]]] = {}
        self._count = 0

    def __enter__(self) -> Self:
        """Hold back what is sent."""
        self._held = True
        return self

    def __exit__(self, *_: object) -> None:
        """Send it."""
        self._held = False
        self.flush()

    def send(self, fd: int, data: bytes, tos: int = 0) -> None:
        """Send a datagram by a connected socket, with this DSCP and ECN."""
        self._connected.append((fd, data, tos))
        self._added()

    def send_to(self, fd: int, family: int, destination: bytes, data: bytes, tos: int = 0) -> None:
        """Send a datagram by a socket of a family, to an address as `to_sockaddr` writes it."""
        self._addressed.setdefault(family, []).append((fd, destination, data, tos))
        self._added()

    def flush(self) -> None:
        """Send what waits. Who closes a socket has to do so before: its number may be reused."""
        if not self._count:
            return
        connected, addressed = self._connected, self._addressed
        self._connected, self._addressed, self._count = [], {}, 0
        if connected:
            fds, data, tos = zip(*connected, strict=True)
            for error in self._io.send(0, fds, self._put(data), bytes(tos)):
                count_failure(self._counters, error)
        for family, queued in addressed.items():
            fds, destinations, data, tos = zip(*queued, strict=True)
            sizes = self._put(data)
            for error in self._senders[family].send_by(fds, destinations, sizes, bytes(tos)):
                count_failure(self._counters, error)

    def close(self) -> None:
        """Close what sends; the sockets are their owners'."""
        self._io.close()

    def _added(self) -> None:
        self._count += 1
        if not self._held or self._count == SIZE:
            self.flush()

    def _put(self, datagrams: tuple[bytes, ...]) -> list[int]:
        """Copy datagrams into the slots; their sizes."""
        sizes = list(map(len, datagrams))
        for view, data, size in zip(self._buffers.views, datagrams, sizes, strict=False):
            view[:size] = data
        return sizes
