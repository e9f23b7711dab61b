"""The structures of recvmsg and sendmsg for a batch, made once: names, pieces, control messages.

A control message carries what a datagram's IP header says of DSCP and ECN: the TOS byte of IPv4,
the traffic class of IPv6, each a byte. The kernel tells it of all that a socket receives, and is
told it of what a socket is to send otherwise than with 0.
"""

import ctypes
import mmap
import socket
import struct
from array import array
from collections.abc import Sequence

from relay.forwarding.udp import MAX_DATAGRAM

_IOVEC = struct.Struct("@PN")  # struct iovec: base, length
_MMSGHDR = struct.Struct("@PIPNPNi4xI4x")  # struct mmsghdr: a struct msghdr, then the size
HEADER_SIZE = _MMSGHDR.size
_CMSG_TOS = struct.Struct("@Nii4x4x")  # struct cmsghdr: length, level, type; then a number
_CMSG_TOS_LENGTH = 20  # CMSG_LEN of it
TOS_SIZE = _CMSG_TOS.size
# What is sent has it in the terms of both families, each of which passes over the other's.
_SENT = b"".join(
    _CMSG_TOS.pack(_CMSG_TOS_LENGTH, level, kind)
    for level, kind in (
        (socket.IPPROTO_IP, socket.IP_TOS),
        (socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
    )
)
# The first message of what is received: a byte of IPv4, a number of IPv6, whose first byte it is
# on a machine that has the low one first.
_TOS_AT = 16


class MessageHeaders:
    """A struct mmsghdr for each slot: with memory for a name, a piece, and control messages.

    Args:
        addresses: Where each slot's datagram is.
        name_size: Bytes of an address; 0 for connected sockets.
        control: What the control messages of each are at first.

    Attributes:
        address: Where the first one is; the others follow, `HEADER_SIZE` bytes each.
        names: All names.
        bases: Where each piece is.
        lengths: How long it is.
        sizes: How many bytes were received.
        control: All control messages.
        control_sizes: How many bytes of them count.
    """

    def __init__(self, addresses: Sequence[int], *, name_size: int, control: bytes) -> None:
        self.count, room = len(addresses), len(control)
        self.names = bytearray(self.count * name_size)
        self.control = bytearray(control * self.count)
        vectors, headers = bytearray(self.count * 16), bytearray(self.count * HEADER_SIZE)
        self.address = address_of(headers)
        names = address_of(self.names) if name_size else 0
        pieces, controls = address_of(vectors), address_of(self.control)
        for slot, address in enumerate(addresses):
            _IOVEC.pack_into(vectors, slot * 16, address, MAX_DATAGRAM)
            name, piece = names + slot * name_size, pieces + slot * 16
            _MMSGHDR.pack_into(
                headers,
                slot * HEADER_SIZE,
                *(name, name_size, piece, 1, controls + slot * room, 0, 0, 0),
            )
        vector_words, words = memoryview(vectors).cast("Q"), memoryview(headers).cast("Q")
        self.bases, self.lengths = vector_words[0::2], vector_words[1::2]
        self.control_sizes = words[5::8]
        self.sizes = memoryview(headers).cast("I")[HEADER_SIZE // 4 - 2 :: 16]


class ReceivedHeaders(MessageHeaders):
    """For receiving, from sockets that `bind_udp` made.

    Args:
        addresses: Where each slot's datagram goes.
        name_size: As of all headers.
        room: Bytes of control messages, of which the first `TOS_SIZE` are the one with the TOS.
    """

    def __init__(
        self, addresses: Sequence[int], *, name_size: int = 0, room: int = TOS_SIZE
    ) -> None:
        super().__init__(addresses, name_size=name_size, control=bytes(room))
        self._full = array("Q", [room] * self.count)
        self._tos = memoryview(self.control)[_TOS_AT::room]

    def empty(self) -> None:
        """Make room for control messages: the kernel has written how much of it was used."""
        self.control_sizes[:] = self._full

    def tos(self, count: int) -> bytes:
        """The DSCP and ECN of the first datagrams; of a slot with none it is left from another."""
        return self._tos[:count].tobytes()


class SentHeaders(MessageHeaders):
    """For sending.

    Args:
        addresses: Where each slot's datagram is.
        name_size: As of all headers.
    """

    def __init__(self, addresses: Sequence[int], *, name_size: int = 0) -> None:
        super().__init__(addresses, name_size=name_size, control=_SENT)
        numbers = memoryview(self.control).cast("I")
        step = len(_SENT) // 4
        self._tos = [numbers[at // 4 :: step] for at in (_TOS_AT, TOS_SIZE + _TOS_AT)]
        self._none = array("Q", bytes(8 * self.count))
        self._told = False

    def tell_tos(self, first: int, tos: bytes) -> None:
        """Send the datagrams from `first` on with this DSCP and ECN, a byte for each."""
        if has_tos(tos):
            end = first + len(tos)
            for numbers in self._tos:
                numbers[first:end] = array("I", list(tos))
            # With none, a connected socket need not look its route up again.
            self.control_sizes[first:end] = array("Q", [len(_SENT) if each else 0 for each in tos])
            self._told = True
        elif self._told:
            self.control_sizes[:] = self._none
            self._told = False


def has_tos(tos: bytes) -> bool:
    """Whether any of some datagrams has DSCP or ECN other than 0."""
    return tos != bytes(len(tos))


def address_of(memory: bytearray | mmap.mmap) -> int:
    """Where some memory is, which stays there as long as it lives."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))
