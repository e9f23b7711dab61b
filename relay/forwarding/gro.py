"""UDP GRO and GSO: datagrams of one flow and of one size that pass through the kernel as one.

The kernel coalesces them when they arrive right behind each other (UDP_GRO), as the packets of a
video frame do, and segments them again behind the socket that sends them (UDP_SEGMENT). The last
segment may be shorter.
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


def enable_gro(udp: socket.socket) -> None:
    """Have the kernel coalesce what a socket receives, where it can: Linux 5.0."""
    with contextlib.suppress(OSError):
        udp.setsockopt(SOL_UDP, UDP_GRO, 1)


class GsoSender:
    """Sends coalesced datagrams by sockets that are connected."""

    def __init__(self) -> None:
        self._control = bytearray(_CONTROL.size)
        self._vector = bytearray(_VECTOR.size)
        self._header = bytearray(_HEADER.size)
        vector, control, self._address = (
            ctypes.addressof(ctypes.c_char.from_buffer(memory))
            for memory in (self._vector, self._control, self._header)
        )
        _HEADER.pack_into(self._header, 0, 0, 0, vector, 1, control, _CONTROL.size, 0)

    def send(self, fd: int, data: memoryview, segment_size: int) -> list[int]:
        """Send segments with one call, or one by one where that is refused.

        Args:
            fd: The socket.
            data: The segments, one behind the other, in memory that can be written.
            segment_size: The size of each but the last one, in bytes.

        Returns:
            The kernel's error number of each segment that it refused.
        """
        address = ctypes.addressof(ctypes.c_char.from_buffer(data))
        _VECTOR.pack_into(self._vector, 0, address, len(data))
        _CONTROL.pack_into(self._control, 0, _CONTROL_USED, SOL_UDP, UDP_SEGMENT, segment_size)
        if int(_sendmsg(fd, self._address, socket.MSG_DONTWAIT)) >= 0:
            return []
        # Such as EINVAL: larger than the path's MTU, and segments are not fragmented.
        errors = []
        for start in range(0, len(data), segment_size):
            try:
                os.write(fd, data[start : start + segment_size])
            except OSError as error:
                errors.append(error.errno or 0)
        return errors
