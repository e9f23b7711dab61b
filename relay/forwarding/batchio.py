"""Batch I/O over connected sockets: many sockets at once, a datagram each.

recvmmsg and sendmmsg serve one socket. io_uring serves many with one system call; where it is not
available, there is a call for each datagram.
"""

import ctypes
import errno
from array import array
from collections.abc import Callable, Sequence
from socket import MSG_DONTWAIT
from typing import Protocol

from relay.forwarding.mmsg import PacketBuffers
from relay.forwarding.msghdr import (
    HEADER_SIZE,
    MessageHeaders,
    ReceivedHeaders,
    SentHeaders,
    has_tos,
)
from relay.forwarding.uring import OP_RECVMSG, OP_SEND, OP_SENDMSG, SKIP_SUCCESS, Ring

_libc = ctypes.CDLL(None, use_errno=True)
_sendmsg, _recvmsg = _libc.sendmsg, _libc.recvmsg
for _function in (_sendmsg, _recvmsg):
    _function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
    _function.restype = ctypes.c_ssize_t


class BatchIO(Protocol):
    """Sends from packet buffers and receives into them, by many connected sockets."""

    def send(self, first: int, fds: Sequence[int], sizes: Sequence[int], tos: bytes) -> list[int]:
        """Send the datagrams of the slots from `first` on, each by its socket, in their order.

        Args:
            first: The first slot.
            fds: The sockets.
            sizes: The size of each datagram.
            tos: The DSCP and ECN of each, a byte.

        Returns:
            The kernel's error number of each datagram that it refused.
        """

    def receive(self, fds: Sequence[int]) -> list[int]:
        """Receive a datagram from each socket, into the slots from the first one on.

        Returns:
            The size of each, or the kernel's error number, made negative: EAGAIN where there
            was none.
        """

    def tos(self, count: int) -> bytes:
        """The DSCP and ECN of the first datagrams received, a byte each; any where none was."""

    def close(self) -> None:
        """Close what it has open."""


def open_batch_io(buffers: PacketBuffers) -> BatchIO:
    """The fastest that this kernel lets this process have.

    Args:
        buffers: Where datagrams are.
    """
    try:
        return UringBatchIO(buffers)
    except OSError:  # older than Linux 5.18, or forbidden: kernel.io_uring_disabled, seccomp
        return SyscallBatchIO(buffers)


# What a connected socket says in place of sending, once, after an ICMP error about an earlier
# datagram: it has not tried. Anybody can forge such an error, and it must not cost a datagram. Who
# really cannot send is told the same again. A datagram that is sent anew may come after one that
# was behind it in the batch.
TOLD_BY_ICMP = frozenset(
    {
        *(errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN),
        *(errno.EMSGSIZE, errno.EACCES, errno.EPROTO, errno.ENOPROTOOPT, errno.EOPNOTSUPP),
        errno.ENONET,
    }
)


class UringBatchIO:
    """See `BatchIO`: by io_uring.

    Args:
        buffers: Where datagrams are.

    Raises:
        OSError: This kernel has no io_uring, or does not let this process have one.
    """

    def __init__(self, buffers: PacketBuffers) -> None:
        self._count = buffers.count
        self._ring = Ring(4 * buffers.count)  # of which a quarter is not used
        self._received = ReceivedHeaders(buffers.addresses)
        self._sent = SentHeaders(buffers.addresses)
        for slot, address in enumerate(buffers.addresses):
            self._ring.prepare(slot, OP_SEND, address, 0, SKIP_SUCCESS)
            header = slot * HEADER_SIZE
            self._ring.prepare(buffers.count + slot, OP_RECVMSG, self._received.address + header, 1)
            self._ring.prepare(
                *(2 * buffers.count + slot, OP_SENDMSG, self._sent.address + header, 1),
                SKIP_SUCCESS,
            )

    def send(self, first: int, fds: Sequence[int], sizes: Sequence[int], tos: bytes) -> list[int]:
        """See `BatchIO.send`."""
        end, ring = first + len(fds), self._ring
        if has_tos(tos):
            self._sent.tell_tos(first, tos)
            self._sent.lengths[first:end] = array("Q", sizes)
            first, end = first + 2 * self._count, end + 2 * self._count
        else:
            ring.lengths[first:end] = array("I", sizes)
        ring.fds[first:end] = array("i", fds)
        errors = []
        for request, result in ring.submit(first, len(fds)):
            if -result in TOLD_BY_ICMP:
                errors += [-again for _, again in ring.submit(request, 1)]
            else:
                errors.append(-result)
        return errors

    def receive(self, fds: Sequence[int]) -> list[int]:
        """See `BatchIO.receive`."""
        self._received.empty()
        first, sizes = self._count, [-errno.EAGAIN] * len(fds)
        end = first + len(fds)
        self._ring.fds[first:end] = array("i", fds)
        for request, result in self._ring.submit(first, len(fds)):
            sizes[request - first] = result
        return sizes

    def tos(self, count: int) -> bytes:
        """See `BatchIO.tos`."""
        return self._received.tos(count)

    def close(self) -> None:
        """See `BatchIO.close`."""
        self._ring.close()


class SyscallBatchIO:
    """See `BatchIO`: by a system call for each datagram.

    Args:
        buffers: Where datagrams are.
    """

    def __init__(self, buffers: PacketBuffers) -> None:
        self._received = ReceivedHeaders(buffers.addresses)
        self._sent = SentHeaders(buffers.addresses)

    def send(self, first: int, fds: Sequence[int], sizes: Sequence[int], tos: bytes) -> list[int]:
        """See `BatchIO.send`."""
        self._sent.tell_tos(first, tos)
        self._sent.lengths[first : first + len(fds)] = array("Q", sizes)
        errors = []
        for slot, fd in enumerate(fds, first):
            result = _call(_sendmsg, fd, self._sent, slot)
            if -result in TOLD_BY_ICMP:
                result = _call(_sendmsg, fd, self._sent, slot)
            if result < 0:
                errors.append(-result)
        return errors

    def receive(self, fds: Sequence[int]) -> list[int]:
        """See `BatchIO.receive`."""
        self._received.empty()
        return [_call(_recvmsg, fd, self._received, slot) for slot, fd in enumerate(fds)]

    def tos(self, count: int) -> bytes:
        """See `BatchIO.tos`."""
        return self._received.tos(count)

    def close(self) -> None:
        """Nothing is open."""


def _call(function: Callable[[int, int, int], int], fd: int, to: MessageHeaders, slot: int) -> int:
    """The size of a datagram that is sent or received; a negative error number if that fails."""
    size = function(fd, to.address + slot * HEADER_SIZE, MSG_DONTWAIT)
    return size if size >= 0 else -ctypes.get_errno()
