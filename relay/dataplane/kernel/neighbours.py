"""Stale neighbours are probed now and then: are they still where they were?

The kernel asks a neighbour of whom it has not heard for a while again when a socket sends to him.
What the program sends does not count: a neighbour whose MAC address changed without a word, or who
was replaced by another, would be sent to at the old address for as long as flows last.

The few messages of rtnetlink(7) that this takes are written here: a library for all of it would be
a third of an agent's memory.
"""

import os
import socket
from collections.abc import Iterable, Iterator
from struct import Struct

from relay.errors import DataplaneError

_MESSAGE = Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence number, port
_NEIGHBOUR = Struct("=B3xiHBB")  # struct ndmsg: family, interface, state, flags, type
_ATTRIBUTE = Struct("=HH")  # struct rtattr: length, type
_ERROR = Struct("=i")

# linux/netlink.h
_REQUEST, _REPLACE, _DUMP = 0x1, 0x100, 0x300
_IS_ERROR, _IS_DONE = 2, 3
# linux/rtnetlink.h, linux/neighbour.h
_NEW, _GET = 28, 30  # RTM_NEWNEIGH, RTM_GETNEIGH
_DESTINATION = 1  # NDA_DST
_STALE = 0x04  # NUD_STALE
_USE = 0x01  # NTF_USE: as if a socket had sent to him

_BUFFER = 1 << 16  # bytes; the kernel puts less than half of that into one datagram


def probe_stale(interfaces: Iterable[str]) -> None:
    """Let the kernel probe the neighbours on these interfaces of whom it is no longer sure.

    It keeps their addresses meanwhile. Who does not answer is unknown after some seconds, and the
    agent's next packet to him makes the kernel look for him.

    Raises:
        DataplaneError: The kernel does not tell its neighbours.
    """
    names = set(interfaces)
    try:
        indexes = {index for index, name in socket.if_nameindex() if name in names}
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        with socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE) as kernel:
            for neighbour in list(_neighbours(kernel)):
                family, index, state, _, _ = _NEIGHBOUR.unpack_from(neighbour)
                if state == _STALE and index in indexes:
                    _use(kernel, family, index, neighbour[_NEIGHBOUR.size :])
    except OSError as error:
        raise DataplaneError(
            f"The kernel's neighbours cannot be probed: {error.strerror}."
        ) from None


def _neighbours(kernel: socket.socket) -> Iterator[bytes]:
    """All neighbours, each as a struct ndmsg with its attributes."""
    _send(kernel, _GET, _DUMP, _NEIGHBOUR.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
    while True:
        for kind, payload in _records(kernel.recv(_BUFFER), _MESSAGE):
            if kind == _IS_DONE:
                return
            if kind == _IS_ERROR:
                (code,) = _ERROR.unpack_from(payload)
                raise OSError(-code, os.strerror(-code))
            if kind == _NEW:
                yield payload


def _use(kernel: socket.socket, family: int, index: int, attributes: bytes) -> None:
    # Whether the kernel has forgotten him meanwhile is no concern here: its answer is not read.
    for kind, address in _records(attributes, _ATTRIBUTE):
        if kind == _DESTINATION:
            head = _NEIGHBOUR.pack(family, index, 0, _USE, 0)
            attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(address), kind) + address
            _send(kernel, _NEW, _REPLACE, head + attribute)


def _send(kernel: socket.socket, kind: int, flags: int, payload: bytes) -> None:
    size = _MESSAGE.size + len(payload)
    kernel.send(_MESSAGE.pack(size, kind, _REQUEST | flags, 0, 0) + payload)


def _records(data: bytes, head: Struct) -> Iterator[tuple[int, bytes]]:
    """Messages, or the attributes of one: each begins with its length and its type."""
    start = 0
    while start < len(data):
        size, kind = head.unpack_from(data, start)[:2]
        yield kind, data[start + head.size : start + size]
        start += (size + 3) // 4 * 4  # each starts at a multiple of 4 bytes
