"""Interfaces that were renamed: their links are pinned by name, and run the program on."""

import socket

from relay.dataplane.kernel.owner import is_here
from relay.dataplane.kernel.pins import Pins

# What a link is called between two names.
_BETWEEN = "~{}"


def follow(pins: Pins) -> list[str]:
    """Give pinned links the names that their interfaces have now.

    The caller holds the lock of `relay.dataplane.kernel.pins.locked`.

    Returns:
        What the administrator should know.

    Raises:
        OSError: The kernel refuses.
    """
    if not is_here(pins):
        return []  # the numbers of interfaces are those of another network namespace
    names = dict(socket.if_nameindex())
    moved = {
        name: (index, names[index])
        for name, index in pins.linked().items()
        if index in names and names[index] != name
    }
    # In two steps, as names may have been exchanged. Who is killed between them leaves names that
    # the next one follows.
    for name, (index, _) in moved.items():
        pins.link(name).rename(pins.link(_BETWEEN.format(index)))
    for index, now in moved.values():
        pins.link(_BETWEEN.format(index)).rename(pins.link(now))
    return [
        f"{name} is called {now} now, and runs the XDP program on; the relay's settings have to "
        f"name {now} before its next start"
        for name, (_, now) in moved.items()
    ]
