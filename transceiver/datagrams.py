"""A UDP socket read and written in batches: recvmmsg and sendmmsg of the relay's socket layer."""

import errno
import socket
from collections.abc import Sequence
from functools import lru_cache

from relay.forwarding.mmsg import (
    BatchReceiver,
    BatchSender,
    PacketBuffers,
    from_sockaddr,
    tell_arrivals,
    to_sockaddr,
)
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError

BATCH = 64  # datagrams of a system call; a bound, so that timers run under load
MAX_DATAGRAM = 2048  # bytes; nothing that we accept is longer than an Ethernet frame
# Addresses read lately: most packets are from those of a moment ago.
_RECENT = 2048
_SLOTS = range(BATCH)


class Datagrams:
    """Batches over one bound, non-blocking UDP socket, which stays its owner's.

    Args:
        sock: The socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        # Apart, because whoever is handed a datagram may send at once.
        self._incoming, self._outgoing = PacketBuffers(BATCH), PacketBuffers(BATCH)
        self._receiver = BatchReceiver(self._incoming, sock.family)
        self._sender = BatchSender(self._outgoing, sock.family)
        tell_arrivals(sock)
        self._place_size = len(_place(Endpoint.of(sock.getsockname())))

    def receive(self) -> list[tuple[bytes, Endpoint | None]]:
        """What waits in the socket, at most `BATCH` datagrams with their sources.

        A datagram longer than `MAX_DATAGRAM` is cut there, as recvfrom would do. A link-local
        source is None: it means nothing without its zone.

        Raises:
            OSError: The kernel's; nothing was read.
        """
        count = self._receiver.receive(self._sock.fileno())
        copy = self._incoming.copy
        return [
            (copy(slot, min(size, MAX_DATAGRAM)), _source(address))
            for slot, (size, address) in enumerate(
                zip(self._receiver.sizes(count), self._receiver.sources(count), strict=True)
            )
        ]

    def arrivals(self, count: int) -> list[float]:
        """When the first datagrams of the last batch came to this machine, in Unix seconds.

        Nothing where the kernel does not tell.
        """
        return self._receiver.arrivals(count)

    def send(self, datagrams: Sequence[tuple[bytes, Endpoint]]) -> list[int]:
        """Send datagrams in their order; each that the kernel refuses costs itself only.

        Returns:
            The error number of each that was not sent.
        """
        errors: list[int] = []
        for first in range(0, len(datagrams), BATCH):
            errors += self._send(datagrams[first : first + BATCH])
        return errors

    def _send(self, datagrams: Sequence[tuple[bytes, Endpoint]]) -> list[int]:
        errors: list[int] = []
        places: list[bytes] = []
        sizes: list[int] = []
        views = self._outgoing.views
        for data, destination in datagrams:
            place, size = _place(destination), len(data)
            if len(place) != self._place_size:
                errors.append(errno.EAFNOSUPPORT)  # the kernel would read it as another address
            elif size > MAX_DATAGRAM:
                errors.append(errno.EMSGSIZE)
            else:
                views[len(sizes)][:size] = data
                places.append(place)
                sizes.append(size)
        slots, marks = _SLOTS[: len(sizes)], bytes(len(sizes))  # without DSCP and ECN
        return errors + self._sender.send(self._sock.fileno(), slots, places, sizes, marks)


@lru_cache(_RECENT)
def _source(sockaddr: bytes) -> Endpoint | None:
    try:
        return Endpoint.unpack(from_sockaddr(sockaddr))
    except EndpointError:
        return None


@lru_cache(_RECENT)
def _place(destination: Endpoint) -> bytes:
    return to_sockaddr(destination.packed)
