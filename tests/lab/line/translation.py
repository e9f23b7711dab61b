"""A NAT of UDP source ports, that can forget what it knew. Pure."""

import struct

_ETHERTYPE_IPV4 = 0x0800
_UDP = 17
_ETHERNET_SIZE = 14
_FRAGMENT = 0x1FFF  # the offset in an IPv4 header; only the first fragment has ports
_LOWEST, _HIGHEST = 1024, 65535  # ports that are given
_STEP = 7919  # prime to the number of ports, so that every port has its turn


class Translation:
    """What a NAT knows: which inner port each of its outer ports stands for.

    Until it forgets for the first time, it translates nothing. From then on each inner address and
    port gets an outer port that nobody had before, and what comes to an older one is dropped, as
    by a NAT whose binding has timed out.
    """

    def __init__(self) -> None:
        self._active = False
        self._last = _HIGHEST
        self._outer: dict[tuple[bytes, int], int] = {}
        self._inner: dict[tuple[bytes, int], int] = {}

    def forget(self) -> None:
        """Forget all bindings; those made from now on have other ports."""
        self._active = True
        self._outer.clear()
        self._inner.clear()

    def apply(self, frame: bytes, *, outwards: bool) -> bytes | None:
        """The frame as it goes on; None when the NAT drops it.

        Args:
            frame: From its Ethernet header on.
            outwards: Whether it comes from the client.
        """
        if not self._active or not is_udp(frame):
            return frame
        start = _ETHERNET_SIZE + (frame[_ETHERNET_SIZE] & 0x0F) * 4
        place = start if outwards else start + 2
        host = bytes(frame[26:30] if outwards else frame[30:34])
        (port,) = struct.unpack_from("!H", frame, place)
        known = self._binding(host, port) if outwards else self._inner.get((host, port))
        return None if known is None else _with_port(frame, start, place, known)

    def _binding(self, host: bytes, port: int) -> int:
        outer = self._outer.get((host, port))
        if outer is None:
            span = _HIGHEST - _LOWEST + 1
            self._last = outer = _LOWEST + (self._last - _LOWEST + _STEP) % span
            self._outer[host, port] = outer
            self._inner[host, outer] = port
        return outer


def is_udp(frame: bytes) -> bool:
    """Whether it is UDP over IPv4, with its ports in it."""
    if len(frame) < _ETHERNET_SIZE + 28:
        return False
    ethertype, _, fragment = struct.unpack_from("!H6sH", frame, 12)
    return ethertype == _ETHERTYPE_IPV4 and frame[23] == _UDP and not fragment & _FRAGMENT


def _with_port(frame: bytes, start: int, place: int, port: int) -> bytes:
    """The frame with another port, and its UDP checksum updated (RFC 1624, equation 3)."""
    changed = bytearray(frame)
    (before,) = struct.unpack_from("!H", frame, place)
    struct.pack_into("!H", changed, place, port)
    (checksum,) = struct.unpack_from("!H", frame, start + 6)
    if checksum:  # RFC 768: zero means that there is none
        total = (~checksum & 0xFFFF) + (~before & 0xFFFF) + port
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        struct.pack_into("!H", changed, start + 6, ~total & 0xFFFF or 0xFFFF)
    return bytes(changed)
