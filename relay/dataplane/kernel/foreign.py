"""Somebody else's XDP program on an interface: taking it off, when the administrator says so."""

import errno
import os
from typing import Any, Self

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from relay.dataplane.kernel import bpfsys
from relay.errors import DataplaneError

_FLAGS = {"xdp": bpfsys.XDP_FLAGS_DRV_MODE, "xdpgeneric": bpfsys.XDP_FLAGS_SKB_MODE}


class Foreign:
    """A program that an interface runs, held open so that it can be put back.

    Args:
        interface: The interface's name.
        index: Its index.
        number: The kernel's number of the program.
        flags: The mode that it is attached in, as netlink wants it.
    """

    def __init__(self, interface: str, index: int, number: int, flags: int) -> None:
        self.interface = interface
        self.number = number
        self._index = index
        self._flags = flags
        self._fd = bpfsys.program_by_id(number)

    @classmethod
    def on(cls, interface: str, index: int) -> Self | None:
        """The program of an interface that has no link of ours, or None for none.

        Raises:
            DataplaneError: It runs in the network card, where it is not to be reached from here.
        """
        with IPRoute() as route:
            (link,) = route.get_links(index)
        xdp = link.get_attr("IFLA_XDP")
        mode = xdp.get_attr("IFLA_XDP_ATTACHED") if xdp else None
        if mode is None:
            return None
        if mode not in _FLAGS:
            raise DataplaneError(
                f"{interface} runs an XDP program in its hardware ({mode}). Detach it by what "
                "attached it."
            )
        return cls(interface, index, xdp.get_attr("IFLA_XDP_PROG_ID"), _FLAGS[mode])

    def take_off(self) -> None:
        """Detach it.

        Raises:
            DataplaneError: A link of somebody else's holds it.
        """
        try:
            self._set(-1)
        except NetlinkError as error:
            if error.code != errno.EBUSY:
                raise DataplaneError(
                    f"The XDP program {self.number} of {self.interface} could not be taken off: "
                    f"{error.args[1]}."
                ) from None
            raise DataplaneError(
                f"{self.interface} runs the XDP program {self.number} by a link (bpf_link) that "
                "another process or pin holds, and that nobody else may take off. Stop what holds "
                "it; `bpftool link show` tells which. Another relay: `icelane relay unload`."
            ) from None

    def put_back(self) -> None:
        """Attach it again as it was."""
        self._set(self._fd)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._fd)

    def _set(self, fd: int) -> None:
        attributes: list[tuple[str, Any]] = [("IFLA_XDP_FD", fd), ("IFLA_XDP_FLAGS", self._flags)]
        with IPRoute(ext_ack=True) as route:
            route.link("set", index=self._index, IFLA_XDP={"attrs": attributes})
