"""Trains: datagrams of one flow and of one size that pass through the kernel as one.

The kernel joins them when they arrive right behind each other (UDP_GRO), as the packets of a video
frame do, and takes them apart again behind the socket that sends them (UDP_SEGMENT). The last one
may be shorter.
"""

import contextlib
import ctypes
import os
import socket
import struct

# From linux/udp.h; the socket module lacks them.
SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104

_CONTROL = struct.Struct("@NiiH6x")  # struct cmsghdr and a number of 16 bits
_CONTROL_USED = 18  # bytes
_HEADER = struct.Struct("@PIPNPNi4x")  # struct msghdr
_VECTOR = struct.Struct("@PN")  # struct iovec

_sendmsg = ctypes.CDLL(None, use_errno=True).sendmsg
_sendmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]


def join(udp: socket.socket) -> None:
    """Have a socket's datagrams joined, where the kernel can: Linux 5.0."""
    with contextlib.suppress(OSError):
        udp.setsockopt(SOL_UDP, UDP_GRO, 1)


class TrainSender:
    """Sends trains by sockets that are connected."""

    def __init__(self) -> None:
        self._control = bytearray(_CONTROL.size)
        self._vector = bytearray(_VECTOR.size)
        self._header = bytearray(_HEADER.size)
        vector, control, self._address = (
            ctypes.addressof(ctypes.c_char.from_buffer(memory))
            for memory in (self._vector, self._control, self._header)
        )
        _HEADER.pack_into(self._header, 0, 0, 0, vector, 1, control, _CONTROL.size, 0)

    def send(self, fd: int, train: memoryview, segment: int) -> list[int]:
        """Send a train, or its datagrams one by one where it cannot go as one.

        Args:
            fd: The socket.
            train: The datagrams, one behind the other, in memory that can be written.
            segment: The size of each but the last one.

        Returns:
            The kernel's error number of each datagram that it refused.
        """
        address = ctypes.addressof(ctypes.c_char.from_buffer(train))
        _VECTOR.pack_into(self._vector, 0, address, len(train))
        _CONTROL.pack_into(self._control, 0, _CONTROL_USED, SOL_UDP, UDP_SEGMENT, segment)
        if int(_sendmsg(fd, self._address, socket.MSG_DONTWAIT)) >= 0:
            return []
        # Such as EINVAL: larger than the way's MTU, and what is sent as one is not fragmented.
        errors = []
        for start in range(0, len(train), segment):
            try:
                os.write(fd, train[start : start + segment])
            except OSError as error:
                errors.append(error.errno or 0)
        return errors
