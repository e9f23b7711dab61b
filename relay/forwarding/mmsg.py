"""Many datagrams with one system call: recvmmsg and sendmmsg, by ctypes.

All memory is made once. The kernel reads and writes the structures in place, and Python looks at
a whole column of them (all sizes, all first bytes) with one operation.
"""

import ctypes
import errno
import mmap
import os
import socket
import struct
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby

from relay.forwarding.msghdr import (
    HEADER_SIZE,
    TOS_SIZE,
    ReceivedHeaders,
    SentHeaders,
    address_of,
)
from relay.forwarding.udp import MAX_DATAGRAM
from relay.wire.endpoint import V4_MAPPED
from relay.wire.errors import EndpointError

# Slots that began at the same offset of a page would compete for the same lines of the cache.
_STAGGER = 192  # bytes: three lines

# Bytes of struct sockaddr_in and sockaddr_in6.
_V4_SIZE, _V6_SIZE = 16, 28
_SOCKADDR_SIZES: Mapping[int, int] = {socket.AF_INET: _V4_SIZE, socket.AF_INET6: _V6_SIZE}
_UNSPECIFIED = bytes(16)
_AF_INET, _AF_INET6 = (struct.pack("=H", each) for each in (socket.AF_INET, socket.AF_INET6))
# From the kernel's UAPI headers, which the socket module lacks: have a message say where it went.
_ORIGINAL_DESTINATION: Mapping[int, tuple[int, int]] = {
    socket.AF_INET: (socket.IPPROTO_IP, 20),  # IP_RECVORIGDSTADDR
    socket.AF_INET6: (socket.IPPROTO_IPV6, 74),  # IPV6_RECVORIGDSTADDR
}
# It comes behind the message with the TOS: struct cmsghdr of 16 bytes, an address, and what aligns
# it.
_CONTROL: Mapping[int, struct.Struct] = {
    socket.AF_INET: struct.Struct(f"{TOS_SIZE + 16}x{_V4_SIZE}s"),
    socket.AF_INET6: struct.Struct(f"{TOS_SIZE + 16}x{_V6_SIZE}s4x"),
}
# From asm-generic/socket.h. Its message comes before all others: a struct cmsghdr of 16 bytes, and
# a struct timespec, whose words are the third and the fourth.
_SO_TIMESTAMPNS = 35
_SECONDS_AT, _NANOSECONDS_AT = 2, 3
_ARRIVAL_SIZE = 32

_libc = ctypes.CDLL(None, use_errno=True)
_recvmmsg, _sendmmsg = _libc.recvmmsg, _libc.sendmmsg
_recvmmsg.argtypes = [
    *(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
]
_sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]


def to_sockaddr(packed: bytes) -> bytes:
    """A transport address, packed, as struct sockaddr_in or sockaddr_in6."""
    address, port = packed[:16], packed[16:]
    if address.startswith(V4_MAPPED):
        return b"".join((_AF_INET, port, address[12:], bytes(8)))
    return b"".join((_AF_INET6, port, bytes(4), address, bytes(4)))


def from_sockaddr(sockaddr: bytes) -> bytes:
    """A transport address, packed, from what `to_sockaddr` writes.

    Raises:
        EndpointError: It is a link-local IPv6 address, whose zone means nothing to other hosts; or
            one that IPv6 has on no cable, though the kernel takes it: the unspecified address, to
            which an answer would come to this host, or an IPv4-mapped one (RFC 4291, section 2.5).
    """
    if len(sockaddr) == _V4_SIZE:
        return V4_MAPPED + sockaddr[4:8] + sockaddr[2:4]
    if any(sockaddr[24:]):
        raise EndpointError("a link-local address means nothing without its zone")
    if sockaddr.startswith((_UNSPECIFIED, V4_MAPPED), 8):
        raise EndpointError("no IPv6 host has that address")
    return sockaddr[8:24] + sockaddr[2:4]


class PacketBuffers:
    """Memory for datagrams of any size, a slot each.

    Args:
        count: For how many.
    """

    def __init__(self, count: int) -> None:
        stride = MAX_DATAGRAM + _STAGGER
        # Untouched pages of it take no memory.
        self._memory = mmap.mmap(-1, count * stride)
        whole, start = memoryview(self._memory), address_of(self._memory)
        self.count = count
        self.addresses = [start + stride * slot for slot in range(count)]
        self.views = [whole[stride * slot :][:MAX_DATAGRAM] for slot in range(count)]
        self._firsts = whole[::stride]

    def first_bytes(self, count: int) -> bytes:
        """The first byte of each of the first slots; an empty datagram's is left from another."""
        return self._firsts[:count].tobytes()

    def copy(self, slot: int, size: int) -> bytes:
        """The datagram of this size in a slot."""
        return self.views[slot][:size].tobytes()


def tell_arrivals(udp: socket.socket) -> None:
    """Let the kernel say of each datagram that a socket receives when it came.

    That takes the place of what it says of DSCP, ECN and destinations, which is not to be read.
    """
    with suppress(OSError):  # see `BatchReceiver.arrivals`
        udp.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def tell_destinations(udp: socket.socket) -> None:
    """Let the kernel say of each datagram that a socket receives where it was sent to."""
    udp.setsockopt(*_ORIGINAL_DESTINATION[udp.family], 1)


class BatchReceiver:
    """Receives into all slots with one call, from sockets of one address family.

    Args:
        buffers: The memory.
        family: AF_INET or AF_INET6.
    """

    def __init__(self, buffers: PacketBuffers, family: int) -> None:
        self._sockaddr = struct.Struct(f"{_SOCKADDR_SIZES[family]}s")
        self._unpack = _CONTROL[family]
        self._messages = ReceivedHeaders(
            buffers.addresses, name_size=self._sockaddr.size, room=self._unpack.size
        )
        words, step = memoryview(self._messages.control).cast("q"), self._unpack.size // 8
        self._seconds, self._nanoseconds = words[_SECONDS_AT::step], words[_NANOSECONDS_AT::step]

    def receive(self, fd: int) -> int:
        """Take what waits in a socket; how many datagrams that was.

        Raises:
            OSError: The kernel's, such as one about what was sent before.
        """
        messages = self._messages
        messages.empty()
        count = int(_recvmmsg(fd, messages.address, messages.count, socket.MSG_DONTWAIT, None))
        if count >= 0:
            return count
        number = ctypes.get_errno()
        if number == errno.EAGAIN:
            return 0
        raise OSError(number, os.strerror(number))

    def sizes(self, count: int) -> list[int]:
        """The sizes of the first datagrams."""
        return self._messages.sizes[:count].tolist()

    def tos(self, count: int) -> bytes:
        """The DSCP and ECN of the first datagrams, a byte each."""
        return self._messages.tos(count)

    def arrivals(self, count: int) -> list[float]:
        """When the first datagrams came, Unix seconds, if `tell_arrivals` was called before.

        Nothing where the kernel does not tell, as those that sandboxes emulate may not.
        """
        if not count or self._messages.control_sizes[0] < _ARRIVAL_SIZE:
            return []
        told = zip(self._seconds[:count].tolist(), self._nanoseconds[:count].tolist(), strict=True)
        return [seconds + nanoseconds / 1e9 for seconds, nanoseconds in told]

    def destinations(self, count: int) -> list[bytes]:
        """Where the first datagrams were sent to, if `tell_destinations` was called before.

        As `to_sockaddr` writes it; nothing of one of which the kernel does not tell.
        """
        room = self._unpack.size
        told = self._unpack.iter_unpack(self._messages.control[: count * room])
        used = self._messages.control_sizes[:count].tolist()
        return [place if size == room else b"" for (place,), size in zip(told, used, strict=True)]

    def sources(self, count: int) -> list[bytes]:
        """The sources of the first datagrams, as `to_sockaddr` writes them."""
        used = self._messages.names[: count * self._sockaddr.size]
        return [source for (source,) in self._sockaddr.iter_unpack(used)]


class BatchSender:
    """Sends from slots, to an address for each.

    Args:
        buffers: The memory.
        family: AF_INET or AF_INET6.
    """

    def __init__(self, buffers: PacketBuffers, family: int) -> None:
        self._addresses = buffers.addresses
        self._messages = SentHeaders(buffers.addresses, name_size=_SOCKADDR_SIZES[family])

    def send(
        self,
        fd: int,
        slots: Sequence[int],
        destinations: Sequence[bytes],
        sizes: Sequence[int],
        tos: bytes,
    ) -> list[int]:
        """Send the datagrams of some slots, in their order.

        Args:
            fd: The socket.
            slots: Where the datagrams are.
            destinations: Where each goes, as `to_sockaddr` writes it.
            sizes: The size of each.
            tos: The DSCP and ECN of each, a byte.

        Returns:
            The kernel's error number of each datagram that it refused.
        """
        self._prepare(slots, destinations, sizes, tos)
        return self._send(fd, 0, len(slots))

    def send_by(
        self,
        fds: Sequence[int],
        destinations: Sequence[bytes],
        sizes: Sequence[int],
        tos: bytes,
    ) -> list[int]:
        """Send the datagrams of the first slots, each by its socket; those of one in their order.

        Returns:
            As `send`.
        """
        if fds.count(fds[0]) == len(fds):  # as mostly
            return self.send(fds[0], range(len(fds)), destinations, sizes, tos)
        slots = sorted(range(len(fds)), key=fds.__getitem__)
        self._prepare(
            slots,
            [destinations[slot] for slot in slots],
            [sizes[slot] for slot in slots],
            bytes(tos[slot] for slot in slots),
        )
        errors, first = [], 0
        for fd, group in groupby(fds[slot] for slot in slots):
            end = first + len(list(group))
            errors += self._send(fd, first, end)
            first = end
        return errors

    def _prepare(
        self,
        slots: Sequence[int],
        destinations: Sequence[bytes],
        sizes: Sequence[int],
        tos: bytes,
    ) -> None:
        messages, count, places = self._messages, len(slots), b"".join(destinations)
        messages.names[: len(places)] = places
        messages.bases[:count] = array("Q", [self._addresses[slot] for slot in slots])
        messages.lengths[:count] = array("Q", sizes)
        messages.tell_tos(0, tos)

    def _send(self, fd: int, first: int, end: int) -> list[int]:
        errors = []
        while first < end:
            # It ends at the first one that is refused, and tells why when that is the very first.
            start = self._messages.address + first * HEADER_SIZE
            sent = int(_sendmmsg(fd, start, end - first, socket.MSG_DONTWAIT))
            if sent < 0:
                errors.append(ctypes.get_errno())
            first += max(1, sent)
        return errors
