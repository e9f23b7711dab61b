"""An interface that went away and came back runs the program again.

Its pinned link outlives the interface, and remembers that the program is to run there.
"""

import os
import socket
from pathlib import Path

from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.config import Mode
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.tables import find_ports, write_ports


def came_back(pins: Pins) -> list[str]:
    """The interfaces that are there, and are not the ones that their links are attached to.

    A look costs a few system calls.

    Raises:
        OSError: The kernel refuses.
    """
    return [
        name
        for name, index in _indexes(pins).items()
        if index and index != _attached_to(pins.link(name))
    ]


def repair(pins: Pins, program: Path, mode: Mode) -> list[str]:
    """Attach a pinned program to the interfaces of an instance that are back.

    They run it in the mode of the others, if there are others. The caller holds the lock of
    `relay.dataplane.kernel.pins.locked`.

    Args:
        pins: The instance.
        program: Where its program is pinned.
        mode: How it is to be attached.

    Returns:
        What the administrator should know; nothing when none is back.

    Raises:
        DataplaneError: One cannot run it; the text says why.
        OSError: The kernel refuses.
    """
    # It brings pyroute2, 11 MB that an agent seldom needs.
    from relay.dataplane.kernel.attach import Attacher  # noqa: PLC0415

    back = came_back(pins)
    if not back:
        return []
    present = {name: index for name, index in _indexes(pins).items() if index}
    fd = bpfsys.obj_get(program)
    try:
        warnings = Attacher(pins, fd, fd).attach(list(present), mode)
    finally:
        os.close(fd)
    write_ports(pins, find_ports(present.values()))
    return [f"{name} is back, and runs the XDP program again" for name in back] + warnings


def _indexes(pins: Pins) -> dict[str, int]:
    """The indexes of an instance's interfaces, 0 for those that are not there."""
    there = {name: index for index, name in socket.if_nameindex()}
    return {name: there.get(name, 0) for name in pins.links()}


def _attached_to(link: Path) -> int:
    fd = bpfsys.obj_get(link)
    try:
        return bpfsys.link_info(fd).ifindex
    finally:
        os.close(fd)
