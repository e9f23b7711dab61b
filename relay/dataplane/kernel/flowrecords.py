"""The records of flows that the program forwards by, as memory: their bytes and what they mean.

struct flow and struct flow_route of bpf/relay.h. A record's position is its upstream port, above
its address's base; VIP, upstream address and transceiver are numbers of tables.
"""

import sys
from collections.abc import Container, Iterator
from itertools import compress
from struct import Struct, pack_into
from typing import NamedTuple

from relay.core.sleeping import ROUTE_WORD
from relay.dataplane.kernel.memory import MappedArray
from relay.dataplane.kernel.pins import Instance
from relay.wire.endpoint import V4_MAPPED
from relay.wire.route import RAW_SIZE

CONFIRMED, CLIENT_IP6, TRANSCEIVER_IP6, REPLACED = 1, 2, 4, 8  # enum flow_kind of bpf/relay.h
FLOW_RECORDS, FLOW_ROUTES = "flow_records", "flow_routes"
_ENDS = Struct("=2sHBBBx")  # struct flow_ends: client's port, transceiver, VIP, upstream, kind
_TRANSCEIVER_AT, _VIP_AT, _UPSTREAM_AT, _KIND_AT = 2, 4, 5, 6  # bytes
_RECORD = Struct("=2sHBBBx16s2Q2I8x2I")  # struct flow: ends, client, then what is counted
_TO_TRANSCEIVER, _TO_CLIENT = 0, 1  # enum direction, less 1
_BYTES = 3  # words of eight bytes before them
_BINDINGS, _SEEN = 12, 14  # words of four bytes before them
_WIDTH = {"2Q": (1 << 64) - 1, "2I": (1 << 32) - 1}
_CURRENT = bytes(0 < kind < REPLACED for kind in range(256))
_BATCH = 1 << 14  # records that are looked at in one go: a few milliseconds


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


class Record(NamedTuple):
    """A record of a flow.

    Attributes:
        position: Where it is.
        ends: The flow's ends.
        route: The raw bytes of its route.
        counts: Packets, bytes and `seen`, to the transceiver and to the client.
    """

    position: int
    ends: Ends
    route: bytes
    counts: tuple[tuple[int, int, int], tuple[int, int, int]]


class FlowRecords:
    """All records of an instance.

    Args:
        pins: The instance.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """

    def __init__(self, pins: Instance) -> None:
        self._flows = MappedArray(pins.opened(FLOW_RECORDS))
        self._routes = MappedArray(pins.opened(FLOW_ROUTES))
        self.size = self._flows.count
        self._longs = self._flows.stride // 8
        self._former = [0, 0]  # bytes of records that have been written anew
        self._first: list[int] | None = None  # bytes when `carried` was asked first
        self._most = [0, 0]

    def read(self, position: int) -> Record | None:
        """The record of the flow at a position; None when there is none."""
        if not self._flows.longs[position * self._longs]:
            return None
        data = self._flows.element(position)
        return next(self._decoded(range(position, position + 1), data), None)

    def bindings(self, position: int) -> tuple[int, int]:
        """What names the next hops of a record, to the transceiver and to the client; 0: none."""
        at = position * self._flows.stride // 4 + _BINDINGS
        return self._flows.words[at + _TO_TRANSCEIVER], self._flows.words[at + _TO_CLIENT]

    def read_all(self) -> Iterator[Record]:
        """The records of all flows, but of those whose client another flow has by now."""
        for start, end in self._batches():
            data = self._flows.octets[start * self._flows.stride : end * self._flows.stride]
            for record in self._decoded(range(start, end), bytes(data)):
                if not record.ends.kind & REPLACED:
                    yield record

    def _decoded(self, positions: range, data: bytes | memoryview) -> Iterator[Record]:
        """The flows among records that lie side by side."""
        routes, stride = self._routes.octets, self._routes.stride
        for position, fields in zip(positions, _RECORD.iter_unpack(data), strict=True):
            port, transceiver, vip, upstream, kind, client, *counted = fields
            if kind:
                size, size_back, packets, packets_back, seen, seen_back = counted
                at = position * stride
                yield Record(
                    position,
                    Ends(client + port, vip, upstream, transceiver, kind),
                    bytes(routes[at : at + RAW_SIZE]),
                    ((packets, size, seen), (packets_back, size_back, seen_back)),
                )

    def write(self, position: int, ends: Ends, route: bytes) -> None:
        """Write all of a record but its first word, by which it is a flow's; nothing is counted."""
        for way, there in enumerate(self._bytes(position, position + 1)):
            self._former[way] += there
        rest = ends.client[:16].ljust(self._flows.stride - _ENDS.size, b"\0")
        self._flows.element(position)[_ENDS.size :] = rest
        self._routes.element(position)[:RAW_SIZE] = route

    def write_counts(
        self, position: int, sent: tuple[int, int, int], returned: tuple[int, int, int]
    ) -> None:
        """Write packets, bytes and `seen`, to the transceiver and to the client."""
        for way, (_, size_of_way, _) in enumerate((sent, returned)):
            self._former[way] -= size_of_way  # something else has carried that
        numbers = zip(sent, returned, strict=True)
        packets, size, seen = numbers
        element = self._flows.element(position)
        for at, code, pair in ((24, "2Q", size), (40, "2I", packets), (56, "2I", seen)):
            pack_into(f"={code}", element, at, *(number & _WIDTH[code] for number in pair))

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

    def carried(self) -> tuple[int, int]:
        """Bytes that flows have sent to transceivers and to clients since this was asked first.

        A record keeps its counts until it is written anew. Whoever asks while that happens, in
        another thread, is told no less than before.
        """
        now = [former + there for former, there in zip(self._former, self._bytes(), strict=True)]
        if self._first is None:
            self._first = now
        since = zip(self._most, now, self._first, strict=True)
        self._most = [max(most, each - first) for most, each, first in since]
        return self._most[_TO_TRANSCEIVER], self._most[_TO_CLIENT]

    def _bytes(self, start: int = 0, end: int | None = None) -> list[int]:
        """The bytes that stand in records, to transceivers and to clients."""
        longs, step = self._flows.longs, self._longs
        last = (self.size if end is None else end) * step
        return [
            sum(longs[start * step + _BYTES + way : last : step])
            for way in (_TO_TRANSCEIVER, _TO_CLIENT)
        ]

    def idle(self, before: int) -> Iterator[list[int]]:
        """The positions of flows whose transceiver was last seen before a tick, batch by batch."""
        words = self._flows.stride // 4
        for start, end in self._batches():
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

    def taken(self, start: int, end: int, vips: Container[int]) -> bytes:
        """For each position, 1 if it has a flow that is its client's, to one of these VIPs.

        Args:
            start: The first position.
            end: The one after the last.
            vips: The VIPs by number.
        """
        kinds = self._kinds(start, end).translate(_CURRENT)
        ours = bytes(number in vips for number in range(256))
        to_ours = bytes(self._octets(_VIP_AT, start, end)).translate(ours)
        both = int.from_bytes(kinds) & int.from_bytes(to_ours)
        return both.to_bytes(end - start)

    def route_words(self) -> Iterator[int]:
        """The `route_word` of each flow that is its client's."""
        words = self._routes.words[ROUTE_WORD.start // 4 :: self._routes.stride // 4]
        return compress(words, self._kinds(0, self.size).translate(_CURRENT))

    def vips(self) -> frozenset[int]:
        """The VIPs that a flow has, by number."""
        return frozenset(compress(self._octets(_VIP_AT, 0, self.size), self._kinds(0, self.size)))

    def upstreams(self) -> frozenset[int]:
        """The upstream addresses that a flow has, by number."""
        numbers = self._octets(_UPSTREAM_AT, 0, self.size)
        return frozenset(compress(numbers, self._kinds(0, self.size)))

    def _batches(self) -> Iterator[tuple[int, int]]:
        for start in range(0, self.size, _BATCH):
            yield start, min(start + _BATCH, self.size)

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
