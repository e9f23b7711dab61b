"""What drivers say of their native XDP: the netdev family of generic netlink, since Linux 6.3."""

import errno
import os
import struct
import sys
from socket import socket

from relay.dataplane.kernel import rtnetlink

_NETLINK_GENERIC = 16  # linux/netlink.h
_HEADER = struct.Struct("=BBxx")  # struct genlmsghdr of linux/genetlink.h: command, version
_CONTROL, _GET_FAMILY = 0x10, 3  # GENL_ID_CTRL, CTRL_CMD_GETFAMILY
_FAMILY_ID, _FAMILY_NAME = 1, 2  # CTRL_ATTR_*
# linux/netdev.h
_GET_DEVICE = 1  # NETDEV_CMD_DEV_GET
_INDEX, _FEATURES = 1, 3  # NETDEV_A_DEV_*
_BASIC, _REDIRECT = 1, 2  # NETDEV_XDP_ACT_*


def redirecting() -> dict[int, bool]:
    """Whether each driver runs programs that redirect, by the number of the interface.

    It is asked in the calling thread's network namespace.

    Raises:
        OSError: The kernel does not tell: it is older than 6.3.
    """
    with rtnetlink.opened(_NETLINK_GENERIC) as kernel:
        family = _family(kernel)
        devices = rtnetlink.dump(kernel, family, family, _HEADER.pack(_GET_DEVICE, 1))
        found = [rtnetlink.attributes(each[_HEADER.size :]) for each in devices]
    wanted = _BASIC | _REDIRECT
    return {_number(each[_INDEX]): _number(each[_FEATURES]) & wanted == wanted for each in found}


def _family(kernel: socket) -> int:
    name = rtnetlink.attribute(_FAMILY_NAME, b"netdev\0\0")
    rtnetlink.send(kernel, _CONTROL, 0, _HEADER.pack(_GET_FAMILY, 1) + name)
    for kind, payload in rtnetlink.messages(kernel.recv(rtnetlink.BUFFER)):
        if kind == _CONTROL:
            return _number(rtnetlink.attributes(payload[_HEADER.size :])[_FAMILY_ID])
    raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))


def _number(value: bytes) -> int:
    return int.from_bytes(value, sys.byteorder)
