"""The records of flows that the program forwards by, as memory: their bytes and what they mean.

struct flow and struct flow_route of bpf/relay.h. A record's position is its upstream port, above
its address's base; VIP, upstream address and transceiver are numbers of tables.
"""

import sys
from collections.abc import Iterator
from itertools import compress
from struct import Struct
from typing import NamedTuple

from relay.dataplane.kernel.memory import MappedArray
from relay.dataplane.kernel.pins import Pins
from relay.wire.endpoint import V4_MAPPED
from relay.wire.route import RAW_SIZE

CONFIRMED, CLIENT_IP6, TRANSCEIVER_IP6, REPLACED = 1, 2, 4, 8  # enum flow_kind of bpf/relay.h
_LISTED = bytes(kind & CONFIRMED and not kind & REPLACED for kind in range(256))
_ENDS = Struct("=2sHBBBx")  # struct flow_ends: client's port, transceiver, VIP, upstream, kind
_TRANSCEIVER_AT, _VIP_AT, _UPSTREAM_AT, _KIND_AT = 2, 4, 5, 6  # bytes
_CLIENT = slice(8, 24)
_COUNTS = Struct("=24x2Q2I8x2I")  # bytes, packets and `seen` of both directions
_TO_TRANSCEIVER, _TO_CLIENT = 0, 1  # enum direction, less 1
_SEEN = 14  # words of four bytes before it
_BATCH = 1 << 16  # records that are looked at in one go: a few milliseconds


class Ends(NamedTuple):
    """Where a flow's ends are, as its record has them.

    Attributes:
        client: The client's address, as `Endpoint.packed`.
        vip: Number of the VIP.
        upstream: Number of the upstream address.
        transceiver: Number of the transceiver.
        kind: Bits of enum flow_kind.
    """

    client: bytes
    vip: int
    upstream: int
    transceiver: int
    kind: int


class FlowRecords:
    """All records of an instance.

    Args:
        pins: The instance.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """

    def __init__(self, pins: Pins) -> None:
        self._flows = MappedArray(pins.map("flows"))
        self._routes = MappedArray(pins.map("flow_routes"))
        self.size = self._flows.count
        self._longs = self._flows.stride // 8

    def ends(self, position: int) -> Ends | None:
        """The ends of the flow at a position; None when there is none."""
        data = bytes(self._flows.element(position))
        port, transceiver, vip, upstream, kind = _ENDS.unpack_from(data)
        return Ends(data[_CLIENT] + port, vip, upstream, transceiver, kind) if kind else None

    def route(self, position: int) -> bytes:
        """The raw bytes of a flow's route."""
        return bytes(self._routes.element(position)[:RAW_SIZE])

    def counts(self, position: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Packets, bytes and `seen` of a flow, to its transceiver and to its client."""
        size, size_back, packets, packets_back, seen, seen_back = _COUNTS.unpack_from(
            self._flows.octets, position * self._flows.stride
        )
        return (packets, size, seen), (packets_back, size_back, seen_back)

    def write(self, position: int, ends: Ends, route: bytes) -> None:
        """Write all of a record but its first word, by which it is a flow's; nothing is counted."""
        rest = ends.client[:16].ljust(self._flows.stride - _ENDS.size, b"\0")
        self._flows.element(position)[_ENDS.size :] = rest
        self._routes.element(position)[:RAW_SIZE] = route

    def publish(self, position: int, ends: Ends) -> None:
        """Write a record's first word, in one step."""
        word = _ENDS.pack(ends.client[16:], ends.transceiver, ends.vip, ends.upstream, ends.kind)
        self._flows.longs[position * self._longs] = int.from_bytes(word, sys.byteorder)

    def clear(self, position: int) -> None:
        """Let there be no flow at a position, in one step."""
        self._flows.longs[position * self._longs] = 0

    def count(self) -> int:
        """How many flows there are."""
        kinds = self._kinds(0, self.size)
        return sum(kinds.count(kind) for kind in range(1, REPLACED))

    def listed(self) -> Iterator[int]:
        """The positions of all flows, but of those whose client another flow has by now."""
        for start in range(0, self.size, _BATCH):
            kinds = self._kinds(start, min(start + _BATCH, self.size))
            yield from compress(range(start, start + _BATCH), kinds.translate(_LISTED))

    def idle(self, before: int) -> Iterator[list[int]]:
        """The positions of flows whose transceiver was last seen before a tick, batch by batch."""
        words = self._flows.stride // 4
        for start in range(0, self.size, _BATCH):
            end = min(start + _BATCH, self.size)
            seen = self._flows.words[start * words + _SEEN + _TO_CLIENT : end * words : words]
            kinds = self._kinds(start, end)
            yield [
                position
                for position, kind, moment in zip(range(start, end), kinds, seen, strict=True)
                if kind and moment < before
            ]

    def transceivers(self) -> Iterator[int]:
        """The transceiver of each flow, by number."""
        shorts = self._flows.shorts[_TRANSCEIVER_AT // 2 :: self._flows.stride // 2]
        return compress(shorts, self._kinds(0, self.size))

    def vips(self) -> frozenset[int]:
        """The VIPs that a flow has, by number."""
        return frozenset(compress(self._octets(_VIP_AT, 0, self.size), self._kinds(0, self.size)))

    def upstreams(self) -> frozenset[int]:
        """The upstream addresses that a flow has, by number."""
        numbers = self._octets(_UPSTREAM_AT, 0, self.size)
        return frozenset(compress(numbers, self._kinds(0, self.size)))

    def _kinds(self, start: int, end: int) -> bytes:
        return bytes(self._octets(_KIND_AT, start, end))

    def _octets(self, at: int, start: int, end: int) -> memoryview:
        """The byte at an offset of each record."""
        stride = self._flows.stride
        return self._flows.octets[start * stride + at : end * stride : stride]

    def close(self) -> None:
        """Let go of the memory."""
        self._flows.close()
        self._routes.close()


def kind_of(client: bytes, transceiver: bytes) -> int:
    """The kind of a flow, by the packed addresses of its ends."""
    kind = CONFIRMED
    if not client.startswith(V4_MAPPED):
        kind |= CLIENT_IP6
    if not transceiver.startswith(V4_MAPPED):
        kind |= TRANSCEIVER_IP6
    return kind
