"""Offload settings of a network interface, through the ethtool ioctl (linux/ethtool.h)."""

import ctypes
import fcntl
import socket
import struct
from enum import IntEnum

SIOCETHTOOL = 0x8946  # linux/sockios.h


class Offload(IntEnum):
    """What can be switched; the value is the ethtool command that sets it."""

    TX_CHECKSUM = 0x17  # ETHTOOL_STXCSUM
    GRO = 0x2C  # ETHTOOL_SGRO


def set_offload(interface: str, offload: Offload, *, on: bool) -> None:
    """Switch an offload of an interface in the calling thread's network namespace.

    Raises:
        OSError: There is no such interface, or its driver refused.
    """
    value = ctypes.create_string_buffer(struct.pack("=II", offload, on))  # struct ethtool_value
    request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(value))  # struct ifreq
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)
