"""Numbered packets, and counts of those lost, duplicated, reordered and damaged. Pure."""

import struct
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from tests.lab.frame import Datagram

_HEADER = struct.Struct("!BBQ")
_RTP_VERSION = 0x80  # RFC 7983: the relay takes it for media
_PATTERN = bytes(range(251)) * 264  # 251 is prime: no two neighbours of a packet's words are alike


@dataclass(frozen=True, slots=True)
class Delivery:
    """What was delivered of the packets sent in one direction.

    Attributes:
        sent: Different packets sent.
        lost: Those that did not arrive.
        duplicated: Arrivals beyond the first of each packet.
        reordered: Arrivals that were sent before one that arrived earlier (RFC 4737).
        damaged: Arrivals that are not exactly what was sent.
        gap: The longest run of lost packets.
    """

    sent: int
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    damaged: int = 0
    gap: int = 0


def count_delivery(
    sent: Iterable[Hashable], arrived: Iterable[Hashable], *, damaged: int = 0
) -> Delivery:
    """Compare what was sent with what arrived.

    Args:
        sent: The packets in the order of sending.
        arrived: The packets in the order of arrival; one that was never sent counts as damaged.
        damaged: Further arrivals that could not be read at all.
    """
    order = {packet: place for place, packet in enumerate(dict.fromkeys(sent))}
    seen: set[Hashable] = set()
    highest = -1
    duplicated = reordered = 0
    for packet in arrived:
        place = order.get(packet)
        if place is None:
            damaged += 1
            continue
        duplicated += packet in seen
        reordered += place < highest
        highest = max(highest, place)
        seen.add(packet)
    gap = longest = 0
    for packet in order:
        gap = 0 if packet in seen else gap + 1
        longest = max(longest, gap)
    return Delivery(len(order), len(order) - len(seen), duplicated, reordered, damaged, longest)


def rtp_delivery(sent: Iterable[Datagram], arrived: Iterable[Datagram]) -> Delivery:
    """Compare captures of both ends by SSRC and sequence number; what is not RTP is left out.

    A call is shorter than the 22 minutes in which sequence numbers repeat at 50 packets a second.
    """
    return count_delivery(
        (each.rtp for each in sent if each.rtp is not None),
        (each.rtp for each in arrived if each.rtp is not None),
    )


def numbered_packet(number: int, size: int) -> bytes:
    """The packet with a number: the number, and a payload that depends on it, of `size` bytes."""
    start = number % 251
    return _HEADER.pack(_RTP_VERSION, 0, number) + _PATTERN[start : start + size - _HEADER.size]


def packet_number(data: bytes) -> int | None:
    """The number of a numbered packet; None when it is not one, or is damaged."""
    if len(data) < _HEADER.size:
        return None
    number: int = _HEADER.unpack_from(data)[2]
    return number if numbered_packet(number, len(data)) == data else None
