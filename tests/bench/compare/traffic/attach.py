"""The programs at the ends of the path, attached for as long as traffic flows."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from relay.dataplane.kernel import bpfsys
from relay.netns.host import Host
from tests.lab.errors import LabError


@contextmanager
def attached(host: Host, interface: str, program: int) -> Iterator[int]:
    """Run an XDP program natively on an interface of a host; gives the interface's index.

    Raises:
        LabError: The interface is missing, or runs another program.
    """
    try:
        with host.inside():
            index = socket.if_nametoindex(interface)
            link = bpfsys.link_create_xdp(program, index, bpfsys.XDP_FLAGS_DRV_MODE)
    except OSError as error:
        raise LabError(
            f"The traffic's program does not run on {interface} of host {host.name}: "
            f"{error.strerror}."
        ) from None
    try:
        yield index
    finally:
        bpfsys.link_detach(link)  # at once; closing it would do so a moment later
        os.close(link)
