"""The Internet checksum (RFC 1071), in IP, ICMP and UDP alike."""

import array
import sys


def internet_checksum(data: bytes) -> int:
    """The checksum of some bytes; 0 for bytes that include their own right checksum."""
    return ~_fold(_sum(data)) & 0xFFFF


def update_checksum(checksum: int, old: bytes, new: bytes) -> int:
    """A checksum after some of the bytes that it covers have changed (RFC 1624).

    A wrong one stays wrong: nothing that was damaged is made to look whole.

    Args:
        checksum: The one before.
        old: The bytes as they were, at an even offset.
        new: The bytes that replaced them, as many.
    """
    # ~old is the negative of old in one's complement arithmetic.
    words = len(old) // 2
    return ~_fold((~checksum & 0xFFFF) + words * 0xFFFF - _sum(old) + _sum(new)) & 0xFFFF


def _sum(data: bytes) -> int:
    """The sum of the 16-bit words in network byte order."""
    words = array.array("H", data if len(data) % 2 == 0 else data + b"\0")
    if sys.byteorder == "little":
        words.byteswap()
    return sum(words)


def _fold(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
