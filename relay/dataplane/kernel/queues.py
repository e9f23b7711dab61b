"""Over how many processors an interface spreads packets, by the ethtool ioctl (linux/ethtool.h)."""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterable

_SIOCETHTOOL = 0x8946  # linux/sockios.h
_ETHTOOL_GCHANNELS = 0x3C
_CHANNELS = struct.Struct("=9I")  # struct ethtool_channels: the command, 4 limits, 4 counts
_RX_COUNT, _COMBINED_COUNT = 5, 8


def receiving_processors(interfaces: Iterable[str]) -> int:
    """How many processors packets from these interfaces are spread over: from 1 on."""
    most = os.cpu_count() or 1  # whatever this process may use
    return max(1, min(most, max(map(receive_queues, interfaces), default=1)))


def receive_queues(interface: str) -> int:
    """How many receive queues an interface uses; 1 where its driver does not say."""
    channels = ctypes.create_string_buffer(_CHANNELS.pack(_ETHTOOL_GCHANNELS, *[0] * 8))
    request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(channels))
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, _SIOCETHTOOL, request)
    except OSError:
        return 1
    counts = _CHANNELS.unpack_from(channels)
    queues: int = counts[_RX_COUNT] + counts[_COMBINED_COUNT]
    return max(1, queues)
