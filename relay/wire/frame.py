"""The UDP datagram in the beginning of an Ethernet frame, as far as it is there."""

import struct
from typing import NamedTuple

from relay.wire.endpoint import V4_MAPPED, Endpoint

_ETHERNET = 14
_TAGS = 0x8100, 0x88A8  # 802.1Q, 802.1ad
_TAG = 4
_IP4, _IP6 = 0x0800, 0x86DD
_IP4_HEADER, _IP6_HEADER, _UDP_HEADER = 20, 40, 8
_UDP = 17
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60
_EXTENSIONS = {_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION}
_WORD = struct.Struct("!H")
_PORTS = struct.Struct("!HHH")  # and the length


class Datagram(NamedTuple):
    """A UDP datagram, or a part of one.

    Attributes:
        source: Where it comes from; the port is 0 where it is not in the frame.
        target: Where it goes, likewise.
        size: Bytes of its payload; of a part of it, those of IP's payload.
        payload: The beginning of its payload; empty where that is not in the frame.
        is_whole: Whether it is no fragment (RFC 791, section 3.2; RFC 8200, section 4.5).
    """

    source: Endpoint
    target: Endpoint
    size: int
    payload: bytes
    is_whole: bool


class _Ip(NamedTuple):
    """What follows an IP header and those that extend it."""

    source: bytes
    target: bytes
    at: int
    size: int
    has_fragment: bool
    has_ports: bool


def read_frame(frame: bytes) -> Datagram | None:
    """The datagram of a frame, of which the end may be missing.

    Tags are passed over. Nothing is verified: who looks at it wants to see what is wrong, too.

    Returns:
        None where it is none of UDP, or too little is there.
    """
    try:
        (protocol,), at = _WORD.unpack_from(frame, 12), _ETHERNET
        while protocol in _TAGS:
            (protocol,), at = _WORD.unpack_from(frame, at + 2), at + _TAG
        ip = _READERS[protocol](frame, at)
    except (KeyError, IndexError, struct.error):
        return None
    return None if ip is None else _datagram(frame, ip)


def _datagram(frame: bytes, ip: _Ip) -> Datagram:
    source_port = target_port = 0
    size, payload = max(ip.size, 0), b""
    if ip.has_ports and len(frame) >= ip.at + _UDP_HEADER:
        source_port, target_port, length = _PORTS.unpack_from(frame, ip.at)
        size = max(length - _UDP_HEADER, 0)
        payload = frame[ip.at + _UDP_HEADER :][:size]  # a short frame is padded
    return Datagram(
        Endpoint.unpack(ip.source + _WORD.pack(source_port)),
        Endpoint.unpack(ip.target + _WORD.pack(target_port)),
        size,
        payload,
        not ip.has_fragment,
    )


def _read_ip4(frame: bytes, at: int) -> _Ip | None:
    header = (frame[at] & 15) * 4
    length, _, fragment = struct.unpack_from("!HHH", frame, at + 2)
    if frame[at + 9] != _UDP or len(frame) < at + _IP4_HEADER:
        return None
    return _Ip(
        V4_MAPPED + frame[at + 12 : at + 16],
        V4_MAPPED + frame[at + 16 : at + 20],
        at + header,
        length - header,
        bool(fragment & 0x3FFF),  # more of them, or an offset
        not fragment & 0x1FFF,
    )


def _read_ip6(frame: bytes, at: int) -> _Ip | None:
    size, kind = struct.unpack_from("!HB", frame, at + 4)
    source, target = frame[at + 8 : at + 24], frame[at + 24 : at + 40]
    end, here = at + _IP6_HEADER + size, at + _IP6_HEADER
    has_fragment, has_ports = False, True
    while kind in _EXTENSIONS and has_ports and here + 8 <= len(frame):
        length = (frame[here + 1] + 1) * 8
        if kind == _AUTHENTICATION:
            length = (frame[here + 1] + 2) * 4  # RFC 4302, section 2.2
        elif kind == _FRAGMENT:
            length, has_fragment = 8, True
            has_ports = not _WORD.unpack_from(frame, here + 2)[0] & 0xFFF8
        kind, here = frame[here], here + length
    if len(target) < 16 or (kind != _UDP and kind not in _EXTENSIONS):
        return None
    return _Ip(source, target, here, end - here, has_fragment, has_ports and kind == _UDP)


_READERS = {_IP4: _read_ip4, _IP6: _read_ip6}
