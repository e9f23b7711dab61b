"""An annex: a network namespace for one process's sockets, joined to this host by a veth pair.

XDP forwards from one interface to another. A transceiver in the relay's own host has none of its
own, and packets to it would have to go through the network stack; in an annex it has one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_interface

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from relay.errors import NetnsError
from relay.netns.host import Host
from relay.netns.offload import Offload, set_offload

# RFC 2544's addresses are never routed, so they hide nobody.
NEAR = ip_interface("198.18.78.1/30")
FAR = ip_interface("198.18.78.2/30")
INSIDE = "eth0"


@contextmanager
def annex(name: str) -> Iterator[tuple[Host, str]]:
    """Make an annex, and remove it at the end; gives its host and this host's interface to it.

    Raises:
        NetnsError: This is not root, or the kernel refused.
    """
    host, interface = Host("annex", name), f"icelane-{name}"[:15]
    try:
        host.remove()  # left by a process that was killed
        host.create()
        try:
            _join(host, interface)
            yield host, interface
        finally:
            host.remove()  # the pair goes with it
    except (PermissionError, NetlinkError) as error:
        raise NetnsError(f"the transceiver's network could not be made: {error}") from None


def _join(host: Host, interface: str) -> None:
    with IPRoute() as here:
        for index in here.link_lookup(ifname=interface):
            here.link("del", index=index)
        here.link(
            "add",
            ifname=interface,
            kind="veth",
            peer={"ifname": INSIDE, "net_ns_fd": str(host.path)},
        )
    # The receiver of redirected frames comes first: the driver drops them unless it polls, as it
    # does for GRO, and looks at that when the sender comes up. And a program must not meet
    # checksums that hardware would still have to complete.
    with host.netlink() as there:
        set_offload(INSIDE, Offload.GRO, on=True)
        set_offload(INSIDE, Offload.TX_CHECKSUM, on=False)
        _configure(there, INSIDE, str(FAR.ip))
    with IPRoute() as here:
        _configure(here, interface, str(NEAR.ip))


def _configure(netlink: IPRoute, interface: str, address: str) -> None:
    index = netlink.link_lookup(ifname=interface)[0]
    netlink.addr("add", index=index, address=address, prefixlen=NEAR.network.prefixlen)
    netlink.link("set", index=index, state="up")
