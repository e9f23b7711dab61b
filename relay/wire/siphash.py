"""SipHash-2-4 (Aumasson and Bernstein, 2012), the keyed hash of every tag on the wire."""

from siphash24 import siphash24

KEY_SIZE = 16
TAG_SIZE = 8


def tag(key: bytes, data: bytes) -> bytes:
    """The 64-bit SipHash-2-4 of `data` under a 16-byte key, as 8 bytes, little-endian."""
    digest: bytes = siphash24(data, key=key).digest()
    return digest


def tag_number(key: bytes, data: bytes) -> int:
    """The same hash as a number from 0 to 2**64 - 1."""
    return int.from_bytes(tag(key, data), "little")
