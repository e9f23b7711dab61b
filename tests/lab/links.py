"""The links of a host, without those that the kernel makes by itself."""

from collections.abc import Iterator

from pyroute2 import IPRoute
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

# A kernel that has loaded a kind of tunnels makes one without ends in every network namespace
# (net.core.fb_tunnels_only_for_init_net in the kernel's sysctl/net.rst). Not all can be set up.
_FALLBACK_TUNNELS = frozenset(
    ("tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "sit0", "ip6tnl0", "ip6_vti0", "ip6gre0")
)


def own_links(netlink: IPRoute) -> Iterator[ifinfmsg]:
    """The loopback interface and all that somebody has made."""
    for link in netlink.get_links():
        if link.get("ifname") not in _FALLBACK_TUNNELS:
            yield link


def bring_up(netlink: IPRoute) -> None:
    """Set all of them up."""
    for link in own_links(netlink):
        netlink.link("set", index=link["index"], state="up")
