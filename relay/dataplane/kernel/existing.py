"""An XDP program that an interface runs already: detaching it when the administrator says so."""

import errno
import os
from typing import Self

from relay.dataplane.kernel import bpfsys, netlink, rtnetlink
from relay.dataplane.kernel.config import Mode
from relay.errors import DataplaneError

XDP_FLAGS = {Mode.NATIVE: bpfsys.XDP_FLAGS_DRV_MODE, Mode.GENERIC: bpfsys.XDP_FLAGS_SKB_MODE}


class ExistingProgram:
    """A program of somebody else's, held open so that it can be attached again.

    Args:
        interface: The interface's name.
        index: Its index.
        attached: The program that it runs.

    Raises:
        DataplaneError: It runs in the network card, where it cannot be detached from here.
    """

    def __init__(self, interface: str, index: int, attached: rtnetlink.AttachedProgram) -> None:
        if attached.mode not in XDP_FLAGS:
            raise DataplaneError(
                f"{interface} runs an XDP program in its hardware ({attached.mode}). Detach it "
                "with the tool that attached it."
            )
        self.interface = interface
        self.id = attached.id
        self._index = index
        self._flags = XDP_FLAGS[Mode(attached.mode)]
        self._fd = bpfsys.program_by_id(attached.id)

    @classmethod
    def on(cls, interface: str, index: int) -> Self | None:
        """The program of an interface that has no link of ours, or None for none.

        Raises:
            DataplaneError: It runs in the network card, where it cannot be detached from here.
        """
        attached = rtnetlink.attached_program(index)
        return cls(interface, index, attached) if attached else None

    def detach(self) -> None:
        """Detach it.

        Raises:
            DataplaneError: A link of somebody else's holds it.
        """
        try:
            netlink.set_program(self._index, -1, self._flags)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise DataplaneError(
                    f"The XDP program {self.id} of {self.interface} could not be detached: "
                    f"{error.strerror}."
                ) from None
            raise DataplaneError(
                f"{self.interface} runs the XDP program {self.id} by a link (bpf_link) that "
                "another process or pin holds, and that nobody else may detach. Stop what holds "
                "it; `bpftool link show` tells which. Another relay: `icelane relay unload`."
            ) from None

    def reattach(self) -> None:
        """Attach it again as it was."""
        netlink.set_program(self._index, self._fd, self._flags)

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)
