"""What drivers say of themselves."""

import pytest

from relay.dataplane.kernel import ethtool
from relay.netns.host import Host

pytestmark = pytest.mark.netns


def test_a_driver_tells_its_name_and_queues(host: Host) -> None:
    with host.netlink() as netlink:
        netlink.link("add", ifname="q", kind="veth", num_rx_queues=4, num_tx_queues=4, peer="q-far")
        (index,) = netlink.link_lookup(ifname="q")
        with host.inside():
            told = ethtool.driver("q"), ethtool.receive_queues("q")
        netlink.link("del", index=index)
    assert told == ("veth", (4, 4))


def test_who_does_not_tell_is_no_error(host: Host) -> None:
    with host.inside():
        assert ethtool.driver("nosuch") == ""
        assert ethtool.receive_queues("lo") is None
