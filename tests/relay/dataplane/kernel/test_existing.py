"""A program that an interface runs already is detached, and attached again as it was."""

import os
from contextlib import closing

import pytest

from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.existing import ExistingProgram
from relay.dataplane.kernel.netlink import set_program
from relay.dataplane.kernel.rtnetlink import AttachedProgram, attached_program
from relay.errors import DataplaneError

pytestmark = pytest.mark.bpf


@pytest.mark.parametrize(
    ("flags", "mode"),
    [(bpfsys.XDP_FLAGS_DRV_MODE, "native"), (bpfsys.XDP_FLAGS_SKB_MODE, "generic")],
)
def test_it_comes_back_in_the_mode_that_it_had(
    index: int, program: int, flags: int, mode: str
) -> None:
    assert ExistingProgram.on("free", index) is None
    set_program(index, program, flags)
    before = AttachedProgram(bpfsys.program_info(program).id, mode)
    assert attached_program(index) == before
    existing = ExistingProgram.on("free", index)
    assert existing is not None
    with closing(existing):
        existing.detach()
        assert attached_program(index) is None
        existing.reattach()
    assert attached_program(index) == before


def test_one_that_a_link_holds_stays(index: int, program: int) -> None:
    link = bpfsys.link_create_xdp(program, index, bpfsys.XDP_FLAGS_DRV_MODE)
    try:
        existing = ExistingProgram.on("free", index)
        assert existing is not None
        with closing(existing), pytest.raises(DataplaneError, match="`bpftool link show` tells"):
            existing.detach()
        assert attached_program(index) == AttachedProgram(existing.id, "native")
    finally:
        os.close(link)


def test_one_in_the_hardware_is_left_to_what_attached_it() -> None:
    with pytest.raises(DataplaneError, match=r"in its hardware \(offload\)"):
        ExistingProgram("eth0", 2, AttachedProgram(1, "offload"))
