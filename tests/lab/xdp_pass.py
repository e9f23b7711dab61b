"""An XDP program that passes every packet, for an interface that only has to run some program."""

import os
import struct

from relay.netns.host import Host
from tests.lab.xdp_program import load_xdp

_XDP_PASS = 2  # linux/bpf.h
_DRIVER_MODE = 1 << 2  # XDP_FLAGS_DRV_MODE, linux/if_link.h
_MOV, _EXIT = 0xB7, 0x95  # BPF_ALU64 | BPF_MOV | BPF_K to register 0; BPF_JMP | BPF_EXIT
_PROGRAM = struct.pack("=BBhi", _MOV, 0, 0, _XDP_PASS) + struct.pack("=BBhi", _EXIT, 0, 0, 0)


def attach_xdp_pass(host: Host, interface: str) -> None:
    """Attach it to an interface in driver mode; it is removed with the interface.

    Raises:
        OSError: The kernel refuses the program.
        NetlinkError: There is no such interface, or it runs a program already.
    """
    program = load_xdp(_PROGRAM)
    try:
        with host.netlink() as netlink:
            netlink.link(
                "set",
                index=netlink.link_lookup(ifname=interface)[0],
                IFLA_XDP={
                    "attrs": [("IFLA_XDP_FD", program), ("IFLA_XDP_FLAGS", _DRIVER_MODE)],
                },
            )
    finally:
        os.close(program)
