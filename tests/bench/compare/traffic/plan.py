"""The sender's plan: flows as legs, and what is the same in all their packets. Pure."""

import socket
import struct
from collections.abc import Iterable

from tests.bench.compare.testbed.system import Leg
from tests.bench.compare.traffic import layout, packets
from tests.lab.errors import LabError

LEAST_PAYLOAD = layout.STAMP_SIZE + layout.CHANNEL_HEADER_SIZE
MOST_PAYLOAD = 1400  # with all headers within an Ethernet frame's 1500 bytes

_LEG = struct.Struct("!4s4sHH4s")
_UDP = 17
_DONT_FRAGMENT = 0x4000


def pack_legs(legs: Iterable[Leg], count: int, payload: int) -> bytearray:
    """The legs as the sender's map holds them (struct leg).

    Args:
        legs: The legs.
        count: How many there are.
        payload: The size of payloads, which a ChannelData header says.
    """
    packed = bytearray(layout.LEG_SIZE * count)
    size = payload.to_bytes(2, "big")
    for number, leg in enumerate(legs):
        _LEG.pack_into(
            packed,
            layout.LEG_SIZE * number,
            socket.inet_aton(leg.source.host),
            socket.inet_aton(leg.destination.host),
            leg.source.port,
            leg.destination.port,
            leg.prefix + size if leg.prefix else b"",
        )
    return packed


def udp_payload(payload: int, *, prefixed: bool) -> int:
    """What UDP carries, in bytes."""
    return payload + (layout.CHANNEL_HEADER_SIZE if prefixed else 0)


def frame_size(payload: int, *, prefixed: bool) -> int:
    """How long frames are, in bytes."""
    headers = packets.ETHERNET_SIZE + packets.IP_SIZE + packets.UDP_SIZE
    return headers + udp_payload(payload, prefixed=prefixed)


def make_plan(macs: bytes, flows: int, payload: int, *, prefixed: bool) -> layout.Plan:
    """What is the same in all packets, at whatever rate.

    Args:
        macs: Destination and source, 12 bytes.
        flows: How many legs there are.
        payload: The size of payloads in bytes, without a ChannelData header.
        prefixed: Whether that header precedes them.

    Raises:
        LabError: There are too many flows, or none, or payloads have no such size.
    """
    if not 0 < flows <= layout.MAX_FLOWS:
        raise LabError(f"Traffic takes 1 to {layout.MAX_FLOWS:,} flows, not {flows:,}.")
    if not LEAST_PAYLOAD <= payload <= MOST_PAYLOAD:
        raise LabError(f"Payloads have {LEAST_PAYLOAD} to {MOST_PAYLOAD} bytes, not {payload}.")
    udp = packets.UDP_SIZE + udp_payload(payload, prefixed=prefixed)
    ip = packets.IP_SIZE + udp
    head = struct.pack("!HHHHBB", 0x4500, ip, 0, _DONT_FRAGMENT, packets.TTL, _UDP)
    constant = struct.pack("!HHH", _UDP, udp, udp) + layout.RTP + layout.MAGIC
    return layout.Plan(
        macs=tuple(macs),
        flows=flows,
        ip_length=tuple(ip.to_bytes(2, "big")),
        udp_length=tuple(udp.to_bytes(2, "big")),
        ip_sum=_sum(head),
        udp_sum=_sum(constant),
    )


def _sum(data: bytes) -> int:
    """The sum of 16-bit words in the machine's byte order, as the program adds them."""
    return sum(struct.unpack(f"={len(data) // 2}H", data))
