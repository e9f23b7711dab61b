"""XDP programs as netlink shows and attaches them, on real interfaces."""

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.netlink import AttachedProgram, attached_program, set_program
from relay.netns.host import Host

pytestmark = pytest.mark.bpf


def test_a_program_is_attached_shown_and_detached(index: int, program: int) -> None:
    assert attached_program(index) is None
    set_program(index, program, bpfsys.XDP_FLAGS_SKB_MODE)
    number = bpfsys.program_info(program).id
    assert attached_program(index) == AttachedProgram(number, "xdpgeneric")
    set_program(index, -1, bpfsys.XDP_FLAGS_SKB_MODE)
    assert attached_program(index) is None


def test_a_driver_says_why_it_refuses(maps_host: Host, index: int, program: int) -> None:
    with maps_host.netlink() as netlink:
        (peer,) = netlink.link_lookup(ifname="free-far")
        netlink.link("set", index=peer, mtu=9000)
    with pytest.raises(NetlinkError) as refused:
        set_program(index, program, bpfsys.XDP_FLAGS_DRV_MODE)
    assert "Peer MTU is too large" in refused.value.args[1]
    assert attached_program(index) is None
