"""Batch I/O over connected sockets: many sockets at once, a datagram each.

recvmmsg and sendmmsg serve one socket. io_uring serves many with one system call; where it is not
available, there is a call for each datagram.
"""

import errno
import os
from array import array
from collections.abc import Sequence
from typing import Protocol

from relay.forwarding.mmsg import PacketBuffers
from relay.forwarding.udp import MAX_DATAGRAM
from relay.forwarding.uring import OP_RECV, OP_SEND, SKIP_SUCCESS, Ring


class BatchIO(Protocol):
    """Sends from packet buffers and receives into them, by many connected sockets."""

    def send(self, first: int, fds: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """Send the datagrams of the slots from `first` on, each by its socket, in their order.

        Returns:
            The kernel's error number of each datagram that it refused.
        """

    def receive(self, fds: Sequence[int]) -> list[int]:
        """Receive a datagram from each socket, into the slots from the first one on.

        Returns:
            The size of each, or the kernel's error number, made negative: EAGAIN where there
            was none.
        """

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


class UringBatchIO:
    """See `BatchIO`: by io_uring.

    Args:
        buffers: Where datagrams are.

    Raises:
        OSError: This kernel has no io_uring, or does not let this process have one.
    """

    def __init__(self, buffers: PacketBuffers) -> None:
        self._count = buffers.count
        self._ring = Ring(2 * buffers.count)
        for slot, address in enumerate(buffers.addresses):
            self._ring.prepare(slot, OP_SEND, address, 0, SKIP_SUCCESS)
            self._ring.prepare(buffers.count + slot, OP_RECV, address, MAX_DATAGRAM)

    def send(self, first: int, fds: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """See `BatchIO.send`."""
        end = first + len(fds)
        self._ring.fds[first:end] = array("i", fds)
        self._ring.lengths[first:end] = array("I", sizes)
        return [-result for _, result in self._ring.submit(first, len(fds))]

    def receive(self, fds: Sequence[int]) -> list[int]:
        """See `BatchIO.receive`."""
        first, sizes = self._count, [-errno.EAGAIN] * len(fds)
        end = first + len(fds)
        self._ring.fds[first:end] = array("i", fds)
        for request, result in self._ring.submit(first, len(fds)):
            sizes[request - first] = result
        return sizes

    def close(self) -> None:
        """See `BatchIO.close`."""
        self._ring.close()


class SyscallBatchIO:
    """See `BatchIO`: by a system call for each datagram.

    Args:
        buffers: Where datagrams are.
    """

    def __init__(self, buffers: PacketBuffers) -> None:
        self._views = buffers.views

    def send(self, first: int, fds: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """See `BatchIO.send`."""
        errors = []
        for view, fd, size in zip(self._views[first:], fds, sizes, strict=False):
            try:
                os.write(fd, view[:size])
            except OSError as error:
                errors.append(error.errno or 0)
        return errors

    def receive(self, fds: Sequence[int]) -> list[int]:
        """See `BatchIO.receive`."""
        sizes = []
        for fd, view in zip(fds, self._views, strict=False):
            try:
                sizes.append(os.readv(fd, [view]))
            except OSError as error:
                sizes.append(-(error.errno or 0))
        return sizes

    def close(self) -> None:
        """Nothing is open."""
