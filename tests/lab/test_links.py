"""A kernel that has tunnels makes some in each namespace: a lab has to do without them."""

import os
import secrets

import pytest

from relay.netns.host import Host
from tests.lab.links import bring_up, own_links

pytestmark = pytest.mark.netns


def test_the_kernels_own_tunnels_are_left_alone() -> None:
    host = Host(f"links-{os.getpid()}-{secrets.token_hex(2)}", "one")
    host.create()
    try:
        with host.netlink() as netlink:
            if not netlink.link_lookup(ifname="sit0"):  # this kernel has none
                netlink.link("add", ifname="sit0", kind="veth", peer="sit0-far")
            netlink.link("add", ifname="a", kind="veth", peer="a-far")
            bring_up(netlink)
            assert {"lo", "a", "a-far"} <= {link.get("ifname") for link in own_links(netlink)}
            states = {link.get("ifname"): link.get("state") for link in netlink.get_links()}
        assert (states["lo"], states["a"], states["a-far"], states["sit0"]) == (
            *("up", "up", "up"),
            "down",
        )
    finally:
        host.remove()
