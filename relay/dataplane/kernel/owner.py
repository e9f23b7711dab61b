"""Which network namespace an instance belongs to.

Pins have names, and namespaces may share the file system that they are in. What tells the namespace
is the instance's link for steering, which is attached to one: the kernel says which that is, and
that it has gone. A number that was noted could be another namespace's by then.
"""

from pathlib import Path

from relay import linux
from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.pins import Pins
from relay.errors import DataplaneError

_NAMED = Path("/run/netns")  # where `ip netns` keeps those that it makes


def is_here(pins: Pins) -> bool:
    """Whether an instance belongs to the calling thread's network namespace."""
    return _namespace(pins) == linux.netns_inode()


def require_not_elsewhere(pins: Pins) -> None:
    """Make sure that no other network namespace has an instance of this name.

    One whose namespace has gone is nobody's, as is one of a version that did not steer.

    Raises:
        DataplaneError: One has, and a relay there relies on it; or this is not root.
    """
    there = _namespace(pins)
    if there in {0, linux.netns_inode()}:
        return
    raise DataplaneError(
        f"The instance {pins.instance} is loaded in {_named(there)}, and this is another one: a "
        "relay there would lose its program. Choose another name here with --instance; if nobody "
        f"needs that one, remove it: `icelane relay unload --instance {pins.instance}`."
    )


def _namespace(pins: Pins) -> int:
    """The inode number of the namespace of an instance; 0 for none, or one that has gone."""
    if not pins.steer_link.exists():
        return 0
    with bpfsys.pinned(pins.steer_link) as link:
        return bpfsys.link_netns(link)


def _named(inode: int) -> str:
    """A network namespace, for people."""
    for path in sorted(_NAMED.iterdir()) if _NAMED.is_dir() else ():
        if path.stat().st_ino == inode:
            return f"the network namespace {path.name}"
    return f"the network namespace with the inode number {inode}"
