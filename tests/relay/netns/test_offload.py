"""Offloads of a real interface, as `ethtool` would show them."""

import ctypes
import fcntl
import os
import secrets
import socket
import struct
from collections.abc import Iterator

import pytest

from relay.netns.host import Host
from relay.netns.offload import SIOCETHTOOL, Offload, set_offload

pytestmark = pytest.mark.netns

# ETHTOOL_GTXCSUM and ETHTOOL_GGRO of linux/ethtool.h.
GET = {Offload.TX_CHECKSUM: 0x16, Offload.GRO: 0x2B}


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with the interface a; the test is in there."""
    host = Host(f"test-{os.getpid()}-{secrets.token_hex(2)}", "offload")
    host.create()
    with host.netlink() as netlink:
        netlink.link("add", ifname="a", kind="veth", peer="b")
        yield host
    host.remove()


def is_on(interface: str, offload: Offload) -> bool:
    value = ctypes.create_string_buffer(struct.pack("=II", GET[offload], 0))
    request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)
    return bool(struct.unpack_from("=I", value.raw, 4)[0])


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("offload", Offload)
def test_an_offload_is_switched_alone(offload: Offload) -> None:
    (other,) = set(Offload) - {offload}
    before = is_on("a", other)
    for on in (True, False, True):
        set_offload("a", offload, on=on)
        assert is_on("a", offload) is on
    assert is_on("a", other) is before


@pytest.mark.usefixtures("host")
def test_an_interface_that_is_not_there() -> None:
    with pytest.raises(OSError, match="No such device"):
        set_offload("nowhere0", Offload.GRO, on=True)
