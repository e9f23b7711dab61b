"""Attaching XDP programs by rtnetlink(7), the older way: without a link (bpf_link) that owns them.

It is needed where somebody else attached a program this way, and to hear a driver's own words.
"""

from typing import Any


def set_program(index: int, fd: int, flags: int) -> None:
    """Attach a program to an interface, or detach the one that is attached this way.

    Args:
        index: The interface's index.
        fd: The program; -1 for none.
        flags: XDP_FLAGS_* of linux/if_link.h.

    Raises:
        OSError: The kernel refuses; its text is the driver's own words, where it has some.
    """
    # 11 MB that an agent seldom needs.
    from pyroute2 import IPRoute  # noqa: PLC0415
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

    attributes: list[tuple[str, Any]] = [("IFLA_XDP_FD", fd), ("IFLA_XDP_FLAGS", flags)]
    with IPRoute(ext_ack=True) as route:
        try:
            route.link("set", index=index, IFLA_XDP={"attrs": attributes})
        except NetlinkError as error:
            raise OSError(error.code, str(error.args[1])) from None
