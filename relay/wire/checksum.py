"""The Internet checksum (RFC 1071), in IP, ICMP and UDP alike.

Its sum of 16-bit words is that of one's complement, in which 0xffff is zero, too: so it is what is
left of all the bytes, as one number, after a division by 0xffff.
"""


def internet_checksum(data: bytes) -> int:
    """The checksum of some bytes; 0 for bytes that include their own right checksum."""
    return ~_fold(int.from_bytes(data, "big") << 8 * (len(data) % 2)) & 0xFFFF


def update_checksum(checksum: int, old: bytes, new: bytes) -> int:
    """A checksum after some of the bytes that it covers have changed (RFC 1624).

    A wrong one stays wrong: nothing that was damaged is made to look whole.

    Args:
        checksum: The one before.
        old: The bytes as they were, an even number of them at an even offset.
        new: The bytes that replaced them, as many.
    """
    ones = (1 << 8 * len(old)) - 1
    complement = ones - int.from_bytes(old, "big")
    return ~_fold((~checksum & 0xFFFF) + complement + int.from_bytes(new, "big")) & 0xFFFF


def _fold(number: int) -> int:
    """The remainder, from 1 to 0xffff; 0 of 0 alone."""
    return number and (number - 1) % 0xFFFF + 1
