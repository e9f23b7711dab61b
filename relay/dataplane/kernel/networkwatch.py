"""Hears from the kernel, in an event loop, when something changes about this host's network."""

import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from relay.dataplane.kernel import rtnetlink
from relay.dataplane.kernel.networkchanges import Change, NetworkChanges
from relay.errors import DataplaneError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle

# RTNLGRP_* of linux/rtnetlink.h
_GROUPS = (
    1,  # LINK
    3,  # NEIGH
    5,  # IPV4_IFADDR
    7,  # IPV4_ROUTE
    8,  # IPV4_RULE
    9,  # IPV6_IFADDR
    11,  # IPV6_ROUTE
    19,  # IPV6_RULE
    24,  # IPV4_NETCONF
    25,  # IPV6_NETCONF
    32,  # NEXTHOP
)
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1  # linux/socket.h, linux/netlink.h
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; the socket module does not name it
# A message takes a kilobyte of it. More come at once when a table of routes is exchanged; what
# does not fit is a change like any other.
_BUFFER = 1 << 20  # bytes
_AT_ONCE = 100  # datagrams that are read before others have their turn

# A change that comes within this time of another one waits for its end: then it is told, with all
# that came meanwhile. So there are at most 200 calls a second, and a generation of 10 bits, which
# each call may raise, takes 5 s to come round, where no answer of the FIB is used for longer
# than one or two. The last call comes this long after the last message, because the kernel tells
# of some routes just before it removes them.
PAUSE = 0.005  # seconds


class NetworkWatch:
    """Tells of changes, at once and soon after once more, until it is closed.

    It belongs to the network namespace of the thread that makes it.

    Args:
        loop: Where it works.
        on_change: Called there with what has changed; it is to be quick, and must not raise.

    Raises:
        DataplaneError: The kernel does not tell.
    """

    def __init__(self, loop: "AbstractEventLoop", on_change: Callable[[set[Change]], None]) -> None:
        self.counters: Counter[Change] = Counter()
        self._loop = loop
        self._on_change = on_change
        self._changes = NetworkChanges()
        self._untold: set[Change] = set()
        self._again: set[Change] = set()  # what was new at the last call
        self._pausing: TimerHandle | None = None
        self._kernel = _subscribed()
        loop.add_reader(self._kernel, self._readable)

    def close(self) -> None:
        """Stop."""
        self._loop.remove_reader(self._kernel)
        self._kernel.close()
        if self._pausing is not None:
            self._pausing.cancel()

    def _readable(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                datagram = self._kernel.recv(rtnetlink.BUFFER)
            except BlockingIOError:
                break
            except OSError:  # ENOBUFS: some did not fit into the buffer, and nobody knows which
                self._changes.forget()
                self._hear(*Change)
                break
            self._hear(*self._changes.read(datagram))
        if self._untold and self._pausing is None:
            self._tell()

    def _hear(self, *changes: Change) -> None:
        self.counters.update(changes)
        self._untold.update(changes)

    def _tell(self) -> None:
        """Tell of what is new, and of what was so the last time."""
        self._pausing = None
        now = self._untold | self._again
        self._again, self._untold = self._untold, set()
        if not now:
            return
        self._pausing = self._loop.call_later(PAUSE, self._tell)
        self._on_change(now)


def _subscribed() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    kernel = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
    try:
        # Without CAP_NET_ADMIN it stays as small as the host has it, and overruns sooner.
        with suppress(PermissionError):
            kernel.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        kernel.bind((0, 0))  # without an address of its own it would get none of them
        for group in _GROUPS:
            kernel.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    except OSError as error:
        kernel.close()
        raise DataplaneError(
            f"The kernel does not tell of changes to the network: {error.strerror}."
        ) from None
    return kernel
