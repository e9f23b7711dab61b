"""XDP programs as netlink shows and attaches them, on real interfaces."""

import pytest

from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.netlink import set_program
from relay.dataplane.kernel.rtnetlink import AttachedProgram, attached_program
from relay.netns.host import Host

pytestmark = pytest.mark.bpf


def test_a_program_is_attached_shown_and_detached(index: int, program: int) -> None:
    assert attached_program(index) is None
    set_program(index, program, bpfsys.XDP_FLAGS_SKB_MODE)
    number = bpfsys.program_info(program).id
    assert attached_program(index) == AttachedProgram(number, "generic")
    set_program(index, -1, bpfsys.XDP_FLAGS_SKB_MODE)
    assert attached_program(index) is None


def test_a_driver_says_why_it_refuses(maps_host: Host, program: int) -> None:
    with maps_host.netlink() as netlink:
        netlink.link("add", ifname="bridge", kind="bridge")
        (index,) = netlink.link_lookup(ifname="bridge")
    with maps_host.inside(), pytest.raises(OSError, match="does not support XDP in native mode"):
        set_program(index, program, bpfsys.XDP_FLAGS_DRV_MODE)
    with maps_host.inside():
        assert attached_program(index) is None
