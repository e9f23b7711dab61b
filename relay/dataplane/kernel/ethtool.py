"""Questions to a network interface's driver, through the ethtool ioctl (linux/ethtool.h)."""

import ctypes
import fcntl
import socket
import struct
from contextlib import suppress

_SIOCETHTOOL = 0x8946  # linux/sockios.h
_GET_DRIVER, _GET_CHANNELS = 0x3, 0x3C  # ETHTOOL_GDRVINFO, ETHTOOL_GCHANNELS
_DRIVER_INFO = 196  # bytes of struct ethtool_drvinfo: command, and the driver's name in 32 bytes
# struct ethtool_channels: command, most of rx, tx, other and combined, and those in use
_CHANNELS = struct.Struct("=9I")


def ask(interface: str, question: bytes) -> bytes | None:
    """What a driver makes of a structure; None where it knows no such thing.

    Args:
        interface: Its name, in the calling thread's network namespace.
        question: The structure, in the processor's byte order; it begins with the command.
    """
    value = ctypes.create_string_buffer(question, len(question))
    request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(value))  # struct ifreq
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket, suppress(OSError):
        fcntl.ioctl(any_socket, _SIOCETHTOOL, request)
        return value.raw
    return None


def driver(interface: str) -> str:
    """The name of an interface's driver; empty where nobody tells."""
    answer = ask(interface, struct.pack("=I", _GET_DRIVER).ljust(_DRIVER_INFO, b"\0"))
    return "" if answer is None else answer[4:36].partition(b"\0")[0].decode(errors="replace")


def receive_queues(interface: str) -> tuple[int, int] | None:
    """How many receive queues are in use, and how many there may be; None where nobody tells."""
    answer = ask(interface, _CHANNELS.pack(_GET_CHANNELS, *[0] * 8))
    if answer is None:
        return None
    _, most_rx, _, _, most_combined, rx, _, _, combined = _CHANNELS.unpack(answer)
    return (rx + combined, max(most_rx, most_combined)) if most_rx or most_combined else None
