"""An interface that went away and came back runs the program again.

Its pinned link outlives the interface, and remembers that the program is to run there.
"""

import socket
from pathlib import Path

from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.attach import Attacher
from relay.dataplane.kernel.config import Mode
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.txports import find_tx_ports, write_tx_ports


def returned_interfaces(pins: Pins) -> list[str]:
    """The interfaces that are there, and are not the ones that their links are attached to.

    This costs a few system calls.

    Raises:
        OSError: The kernel refuses.
    """
    attached = pins.linked()
    return [name for name, index in _indexes(pins).items() if index and index != attached.get(name)]


def reattach(pins: Pins, program: Path, mode: Mode) -> list[str]:
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
    returned = returned_interfaces(pins)
    if not returned:
        return []
    present = {name: index for name, index in _indexes(pins).items() if index}
    with bpfsys.pinned(program) as fd:
        warnings = Attacher(pins, fd, fd).attach(list(present), mode)
    write_tx_ports(pins, find_tx_ports(present.values()))
    return [f"{name} is back, and runs the XDP program again" for name in returned] + warnings


def _indexes(pins: Pins) -> dict[str, int]:
    """The indexes of an instance's interfaces, 0 for those that are not there."""
    there = {name: index for index, name in socket.if_nameindex()}
    return {name: there.get(name, 0) for name in pins.links()}
