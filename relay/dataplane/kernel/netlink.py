"""XDP programs as rtnetlink(7) shows and attaches them: without a link that owns them."""

from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute


@dataclass(frozen=True, slots=True)
class AttachedProgram:
    """A program that an interface runs.

    Attributes:
        id: The kernel's number of it.
        mode: How it is attached: ``xdp`` (native), ``xdpgeneric`` or ``xdpoffload``.
    """

    id: int
    mode: str


def attached_program(index: int) -> AttachedProgram | None:
    """The program that an interface runs, however it was attached; None when it runs none."""
    with IPRoute() as route:
        (link,) = route.get_links(index)
    xdp = link.get_attr("IFLA_XDP")
    mode = xdp.get_attr("IFLA_XDP_ATTACHED") if xdp else None
    return None if mode is None else AttachedProgram(xdp.get_attr("IFLA_XDP_PROG_ID"), mode)


def set_program(index: int, fd: int, flags: int) -> None:
    """Attach a program to an interface, or detach the one that is attached this way.

    Args:
        index: The interface's index.
        fd: The program; -1 for none.
        flags: XDP_FLAGS_* of linux/if_link.h.

    Raises:
        NetlinkError: The kernel refuses; its second argument is the driver's own words.
    """
    attributes: list[tuple[str, Any]] = [("IFLA_XDP_FD", fd), ("IFLA_XDP_FLAGS", flags)]
    with IPRoute(ext_ack=True) as route:
        route.link("set", index=index, IFLA_XDP={"attrs": attributes})
