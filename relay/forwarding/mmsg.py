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

from relay.forwarding.udp import MAX_DATAGRAM
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError

# Slots that began at the same offset of a page would compete for the same lines of the cache.
_STAGGER = 192  # bytes: three lines

_IOVEC = struct.Struct("@PN")  # struct iovec: base, length
_MMSGHDR = struct.Struct("@PIPNPNi4xI4x")  # struct mmsghdr: a struct msghdr, then the size
# Bytes of struct sockaddr_in and sockaddr_in6.
_SOCKADDR_SIZES: Mapping[int, int] = {socket.AF_INET: 16, socket.AF_INET6: 28}
_CONTROL_SIZE = 24  # bytes: CMSG_SPACE(sizeof(int))

_libc = ctypes.CDLL(None, use_errno=True)
_recvmmsg, _sendmmsg = _libc.recvmmsg, _libc.sendmmsg
_recvmmsg.argtypes = [
    *(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
]
_sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]


def pack_sockaddr(endpoint: Endpoint) -> bytes:
    """A transport address as struct sockaddr_in or sockaddr_in6."""
    start = struct.pack("=H", endpoint.family) + endpoint.port.to_bytes(2, "big")
    if endpoint.family == socket.AF_INET:
        return start + socket.inet_aton(endpoint.host) + bytes(8)
    return start + bytes(4) + socket.inet_pton(socket.AF_INET6, endpoint.host) + bytes(4)


def unpack_sockaddr(sockaddr: bytes) -> Endpoint:
    """Read what `pack_sockaddr` writes.

    Raises:
        EndpointError: It is a link-local IPv6 address, whose zone means nothing to other hosts.
    """
    port = int.from_bytes(sockaddr[2:4], "big")
    if len(sockaddr) == _SOCKADDR_SIZES[socket.AF_INET]:
        return Endpoint(socket.inet_ntoa(sockaddr[4:8]), port)
    if any(sockaddr[24:]):
        raise EndpointError("a link-local address means nothing without its zone")
    return Endpoint.of((socket.inet_ntop(socket.AF_INET6, sockaddr[8:24]), port))


class PacketBuffers:
    """Memory for datagrams of any size, a slot each.

    Args:
        count: For how many.
    """

    def __init__(self, count: int) -> None:
        stride = MAX_DATAGRAM + _STAGGER
        # Untouched pages of it take no memory.
        self._memory = mmap.mmap(-1, count * stride)
        whole, start = memoryview(self._memory), _address(self._memory)
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


class BatchReceiver:
    """Receives into all slots with one call, from sockets of one address family.

    Args:
        buffers: The memory.
        family: AF_INET or AF_INET6.
    """

    def __init__(self, buffers: PacketBuffers, family: int) -> None:
        self._sockaddr = struct.Struct(f"{_SOCKADDR_SIZES[family]}s")
        self._messages = _MessageHeaders(buffers, family)
        self._sizes = self._messages.headers.cast("I")[_MMSGHDR.size // 4 - 2 :: 16]
        # Room for the kernel's UDP_GRO message of each: struct cmsghdr, and the size of a segment.
        control = bytearray(buffers.count * _CONTROL_SIZE)
        words, start = self._messages.headers.cast("Q"), _address(control)
        words[4::8] = array("Q", range(start, start + len(control), _CONTROL_SIZE))
        self._control_sizes = words[5::8]
        self._room = array("Q", [_CONTROL_SIZE] * buffers.count)
        self._segment_sizes = memoryview(control).cast("i")[4 :: _CONTROL_SIZE // 4]

    def receive(self, fd: int) -> int:
        """Take what waits in a socket; how many datagrams that was.

        Raises:
            OSError: The kernel's, such as one about what was sent before.
        """
        messages = self._messages
        self._control_sizes[:] = self._room
        count = int(_recvmmsg(fd, messages.address, messages.count, socket.MSG_DONTWAIT, None))
        if count >= 0:
            return count
        number = ctypes.get_errno()
        if number == errno.EAGAIN:
            return 0
        raise OSError(number, os.strerror(number))

    def sizes(self, count: int) -> list[int]:
        """The sizes of the first datagrams."""
        return self._sizes[:count].tolist()

    def segment_sizes(self, count: int) -> list[int]:
        """Of each of the first ones the size of its segments if GRO coalesced it, or 0.

        Empty when it coalesced none; see `relay.forwarding.gro`.
        """
        control_sizes = self._control_sizes[:count].tolist()
        if not any(control_sizes):
            return []
        sizes = self._segment_sizes[:count].tolist()
        return [size if used else 0 for size, used in zip(sizes, control_sizes, strict=True)]

    def sources(self, count: int) -> list[bytes]:
        """The sources of the first datagrams, as `pack_sockaddr` writes them."""
        used = self._messages.names[: count * self._sockaddr.size]
        return [source for (source,) in self._sockaddr.iter_unpack(used)]


class BatchSender:
    """Sends from slots by one socket, to an address for each.

    Args:
        buffers: The memory.
        family: AF_INET or AF_INET6.
    """

    def __init__(self, buffers: PacketBuffers, family: int) -> None:
        self._addresses = buffers.addresses
        self._messages = _MessageHeaders(buffers, family)
        words = self._messages.vectors.cast("Q")
        self._bases, self._lengths = words[0::2], words[1::2]

    def send(
        self, fd: int, slots: Sequence[int], destinations: Sequence[bytes], sizes: Sequence[int]
    ) -> list[int]:
        """Send the datagrams of some slots, in their order.

        Args:
            fd: The socket.
            slots: Where the datagrams are.
            destinations: Where each goes, as `pack_sockaddr` writes it.
            sizes: The size of each.

        Returns:
            The kernel's error number of each datagram that it refused.
        """
        count, messages = len(slots), self._messages
        places = b"".join(destinations)
        messages.names[: len(places)] = places
        self._bases[:count] = array("Q", [self._addresses[slot] for slot in slots])
        self._lengths[:count] = array("Q", sizes)
        errors, done = [], 0
        while done < count:
            # It ends at the first one that is refused, and tells why when that is the very first.
            start = messages.address + done * _MMSGHDR.size
            sent = int(_sendmmsg(fd, start, count - done, socket.MSG_DONTWAIT))
            if sent < 0:
                errors.append(ctypes.get_errno())
            done += max(1, sent)
        return errors


class _MessageHeaders:
    """A struct mmsghdr for each slot, with memory for a name, and a vector of one piece."""

    def __init__(self, buffers: PacketBuffers, family: int) -> None:
        self.count, size = buffers.count, _SOCKADDR_SIZES[family]
        self.names = bytearray(self.count * size)
        vectors, headers = bytearray(self.count * 16), bytearray(self.count * _MMSGHDR.size)
        self.address = _address(headers)
        names, pieces = _address(self.names), _address(vectors)
        for slot, address in enumerate(buffers.addresses):
            _IOVEC.pack_into(vectors, slot * 16, address, MAX_DATAGRAM)
            name, piece = names + slot * size, pieces + slot * 16
            _MMSGHDR.pack_into(headers, slot * _MMSGHDR.size, *(name, size, piece, 1, 0, 0, 0, 0))
        self.vectors, self.headers = memoryview(vectors), memoryview(headers)


def _address(memory: bytearray | mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))
