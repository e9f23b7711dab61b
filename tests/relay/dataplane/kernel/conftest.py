"""An interface that runs nothing, and a program for it."""

import os
import struct
from collections.abc import Iterator

import pytest

from relay.netns.host import Host
from tests.lab.xdp_program import load_xdp

PASS = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 2, 0x95, 0, 0, 0)  # return XDP_PASS


@pytest.fixture
def program() -> Iterator[int]:
    fd = load_xdp(PASS)
    yield fd
    os.close(fd)


@pytest.fixture
def index(maps_host: Host) -> Iterator[int]:
    """The index of an interface that runs nothing; the test is in its namespace."""
    with maps_host.netlink() as netlink:
        netlink.link("add", ifname="free", kind="veth", peer="free-far")
        (index,) = netlink.link_lookup(ifname="free")
        yield index
        netlink.link("del", index=index)
