"""A namespace pair: a network namespace for one process's sockets, joined to this host by veth.

XDP forwards from one interface to another. A transceiver in the relay's own host has none of its
own, and packets to it would have to go through the network stack; in a namespace it has one.
"""

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_interface

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from relay.errors import NetnsError
from relay.netns.host import Host, what_it_needs
from relay.netns.offload import Offload, set_offload

# RFC 2544's addresses are never routed, so they hide nobody.
HOST_ADDRESS = ip_interface("198.18.78.1/30")
NAMESPACE_ADDRESS = ip_interface("198.18.78.2/30")
NAMESPACE_INTERFACE = "eth0"


@contextmanager
def namespace_pair(name: str) -> Iterator[tuple[Host, str]]:
    """Make a namespace and its veth pair; gives the namespace and this host's interface to it.

    Both are removed in the end.

    Raises:
        NetnsError: This is not root, or the kernel refused.
    """
    host, interface = Host("transceiver", name), f"icelane-{name}"[:15]
    with ExitStack() as undo:
        try:
            host.remove()  # left by a process that was killed
            host.create()
            undo.callback(host.remove)  # the pair goes with it
            _join(host, interface)
        except (PermissionError, NetlinkError) as error:
            raise NetnsError(
                f"The transceiver's network could not be made: {error}. {what_it_needs()}."
            ) from None
        yield host, interface


def _join(host: Host, interface: str) -> None:
    with IPRoute() as here:
        for index in here.link_lookup(ifname=interface):
            _remove(here, index)
        here.link(
            "add",
            ifname=interface,
            kind="veth",
            peer={"ifname": NAMESPACE_INTERFACE, "net_ns_fd": str(host.path)},
        )
    # The receiver of redirected frames comes first: the driver drops them unless it polls, as it
    # does for GRO, and looks at that when the sender comes up. And a program must not meet
    # checksums that hardware would still have to complete.
    with host.netlink() as there:
        set_offload(NAMESPACE_INTERFACE, Offload.GRO, on=True)
        set_offload(NAMESPACE_INTERFACE, Offload.TX_CHECKSUM, on=False)
        _configure(there, NAMESPACE_INTERFACE, str(NAMESPACE_ADDRESS.ip))
    with IPRoute() as here:
        _configure(here, interface, str(HOST_ADDRESS.ip))


def _remove(netlink: IPRoute, index: int) -> None:
    """Remove an interface that was there a moment ago.

    The kernel removes those of a namespace that has gone when it comes to it, perhaps now.
    """
    try:
        netlink.link("del", index=index)
    except NetlinkError as error:
        if error.code != errno.ENODEV:
            raise


def _configure(netlink: IPRoute, interface: str, address: str) -> None:
    index = netlink.link_lookup(ifname=interface)[0]
    netlink.addr("add", index=index, address=address, prefixlen=HOST_ADDRESS.network.prefixlen)
    netlink.link("set", index=index, state="up")
