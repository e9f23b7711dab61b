"""Neighbours are probed now and then: are they still where they were?

The kernel probes a neighbour of whom it has not heard for a while when a socket sends to him. What
the program sends does not count: a neighbour whose MAC address changed without a word, or who was
replaced by another, would be sent to at the old address for as long as flows last.
"""

import socket
from collections.abc import Collection
from struct import Struct

from relay.dataplane.kernel import rtnetlink
from relay.errors import DataplaneError

_NEIGHBOUR = Struct("=B3xiHBB")  # struct ndmsg: family, interface, state, flags, type
# linux/rtnetlink.h, linux/neighbour.h, linux/netlink.h
_NEW, _GET = 28, 30  # RTM_NEWNEIGH, RTM_GETNEIGH
_DESTINATION = 1  # NDA_DST
_STALE = 0x04  # NUD_STALE
_USE = 0x01  # NTF_USE: as if a socket had sent to him
_REPLACE = 0x100  # NLM_F_REPLACE


def probe_stale(indexes: Collection[int]) -> None:
    """Let the kernel probe the neighbours on these interfaces of whom it is no longer sure.

    It keeps their addresses meanwhile. Who does not answer is unknown after some seconds, and the
    agent's next packet to him makes the kernel look for him.

    Args:
        indexes: The interfaces that the FIB names: one behind a VLAN is a neighbour of the VLAN's.

    Raises:
        DataplaneError: The kernel does not tell its neighbours.
    """
    try:
        head = _NEIGHBOUR.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        with rtnetlink.opened() as kernel:
            for neighbour in list(rtnetlink.dump(kernel, _GET, _NEW, head)):
                family, index, state, _, _ = _NEIGHBOUR.unpack_from(neighbour)
                if state == _STALE and index in indexes:
                    _use(kernel, family, index, neighbour[_NEIGHBOUR.size :])
    except OSError as error:
        raise DataplaneError(
            f"The kernel's neighbours cannot be probed: {error.strerror}."
        ) from None


def _use(kernel: socket.socket, family: int, index: int, attributes: bytes) -> None:
    # Whether the kernel has forgotten him meanwhile is no concern here: its answer is not read.
    address = rtnetlink.attributes(attributes).get(_DESTINATION)
    if address is not None:
        head = _NEIGHBOUR.pack(family, index, 0, _USE, 0)
        destination = rtnetlink.attribute(_DESTINATION, address)
        rtnetlink.send(kernel, _NEW, _REPLACE, head + destination)
