"""Neighbours are asked now and then whether they are still where they were.

The kernel asks a neighbour of whom it has not heard for a while again when a socket sends to him.
What the program sends does not count: a neighbour whose MAC address changed without a word, or who
was replaced by another, would be sent to at the old address for as long as flows last.
"""

from collections.abc import Iterable
from contextlib import suppress

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.ndmsg import ndmsg

from relay.dataplane.base import DataplaneError

_STALE = 0x04  # NUD_STALE, linux/neighbour.h
_USE = 0x01  # NTF_USE: as if a socket had sent to him


def ask(interfaces: Iterable[str]) -> None:
    """Let the kernel ask the neighbours on these interfaces of whom it is no longer sure.

    It keeps their addresses meanwhile. Who does not answer is unknown after some seconds, and the
    agent's next packet to him makes the kernel look for him.

    Raises:
        DataplaneError: The kernel does not tell its neighbours.
    """
    try:
        with IPRoute() as route:
            indexes = {index for name in interfaces for index in route.link_lookup(ifname=name)}
            for neighbour in route.get_neighbours():
                if neighbour["state"] == _STALE and neighbour["ifindex"] in indexes:
                    _use(route, neighbour)
    except (OSError, NetlinkError) as error:
        raise DataplaneError(f"The kernel's neighbours cannot be asked: {error}.") from None


def _use(route: IPRoute, neighbour: ndmsg) -> None:
    with suppress(NetlinkError):  # forgotten since, or removed with its interface
        route.neigh(
            "change",
            dst=neighbour.get("dst"),
            family=neighbour["family"],
            ifindex=neighbour["ifindex"],
            flags=_USE,
        )
