"""Flows as entries of a pinned map: two for each flow, one for each direction."""

import errno
import sys
from collections.abc import Iterator
from pathlib import Path
from struct import Struct

from relay.core.flowtuple import FlowTuple
from relay.dataplane.errors import DataplaneFull
from relay.dataplane.flowrecord import Activity, FlowRecord
from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.pins import PinnedMap
from relay.errors import DataplaneError
from relay.wire.endpoint import V4_MAPPED

_TO_TRANSCEIVER, _TO_CLIENT = 1, 2  # enum direction in bpf/relay.h
_NANOSECOND = 1e-9

Entry = tuple[bytes, bytes]


class FlowMap:
    """A map of flows, whose addresses are IPv4 (4 bytes) or either family's (16 bytes).

    The key is the tuple that packets arrive with, the value's ``rewrite`` the one they leave with.

    Args:
        path: Where it is pinned.

    Raises:
        DataplaneError: It is not there, or this is not root.
    """

    def __init__(self, path: Path) -> None:
        self._map = PinnedMap(path)
        self.capacity = self._map.info.max_entries // 2
        key, value = self._map.key.spans, self._map.value.spans
        self._src, self._dst = (key.get(name) or key[f"{name}.word"] for name in ("src", "dst"))
        self._src_port, self._dst_port = key["src_port"], key["dst_port"]
        self._address = slice(16 - (self._src.stop - self._src.start), 16)
        start = next(span.start for path, span in value.items() if path.startswith("rewrite."))
        self._rewrite = slice(start, start + self._map.key.size)
        self._direction: int = value["state.direction"].start
        self._route = value["state.route"]
        # Of a value, only when its last packet was and its direction.
        seen, direction = value["state.last_seen_ns"], self._direction
        rest = self._map.value.size - direction - 1
        self._last_seen_and_direction = Struct(f"={seen.start}xQ{direction - seen.stop}xB{rest}x")
        self._activity = value["state.packets"], value["state.bytes"], value["state.last_seen_ns"]

    def install(self, flow: FlowTuple) -> None:
        """Add both entries, or none; counters of entries that are there stay.

        Raises:
            DataplaneFull: There is no room.
            DataplaneError: The kernel refuses.
        """
        # The transceiver's direction comes first: what is installed alone for a moment is then
        # the one in which nobody sends yet.
        to_transceiver, to_client = self._entries(flow)
        added = self._set(*to_client)
        try:
            self._set(*to_transceiver)
        except DataplaneError:
            if added:
                self._map.delete(to_client[0])
            raise

    def remove(self, flow: FlowTuple) -> None:
        """Remove both entries, but none that another flow has replaced since."""
        for key, value in self._entries(flow):
            found = self._map.lookup(key)
            if found is not None and self._same_flow(found, value):
                self._map.delete(key)

    def record(self, flow: FlowTuple) -> FlowRecord:
        """What passed of a flow; nothing if it is not there."""
        to_transceiver, to_client = self._entries(flow)
        return FlowRecord(flow, self._activity_of(*to_transceiver), self._activity_of(*to_client))

    def tuples(self) -> Iterator[FlowTuple]:
        """Every flow."""
        for key, value in self._client_entries():
            yield self._flow_of_client_entry(key, value)

    def idle(self, before: float) -> Iterator[list[FlowTuple]]:
        """The flows whose transceiver has sent nothing since a moment; a list for each batch read.

        It looks at every entry and decodes only those that it gives: a million flows take about a
        second, in some hundred batches.
        """
        limit = round(before / _NANOSECOND)
        for keys, values in self._batches():
            yield [
                self._flow_of_transceiver_entry(*self._entry(keys, values, index))
                for index, (last_seen, direction) in enumerate(
                    self._last_seen_and_direction.iter_unpack(values)
                )
                if last_seen < limit and direction == _TO_CLIENT
            ]

    def count(self) -> int:
        """How many flows there are."""
        return sum(1 for _ in self._client_entries())

    def close(self) -> None:
        """Close the map; it stays pinned."""
        self._map.close()

    def _flow_of_client_entry(self, key: bytes, value: bytes) -> FlowTuple:
        """The flow of an entry that its client sends into."""
        client, vip = self._ends(key)
        upstream, transceiver = self._ends(value[self._rewrite])
        return FlowTuple.of(client, vip, upstream, transceiver, value[self._route])

    def _flow_of_transceiver_entry(self, key: bytes, value: bytes) -> FlowTuple:
        """The flow of an entry that its transceiver sends into."""
        transceiver, upstream = self._ends(key)
        vip, client = self._ends(value[self._rewrite])
        return FlowTuple.of(client, vip, upstream, transceiver, value[self._route])

    def _client_entries(self) -> Iterator[Entry]:
        """The entries that clients send into: one of each flow."""
        for keys, values in self._batches():
            for index, (_, direction) in enumerate(
                self._last_seen_and_direction.iter_unpack(values)
            ):
                if direction == _TO_TRANSCEIVER:
                    yield self._entry(keys, values, index)

    def _batches(self) -> Iterator[tuple[bytes, bytes]]:
        """All entries in large batches: the keys of each, and the values."""
        reader = self._map.reader()
        while (batch := reader.read_raw())[0]:
            yield batch[1:]

    def _entry(self, keys: bytes, values: bytes, index: int) -> Entry:
        k, v = self._map.key.size, self._map.value.size
        return keys[index * k : index * k + k], values[index * v : index * v + v]

    def _entries(self, flow: FlowTuple) -> tuple[Entry, Entry]:
        """The entries to the transceiver and to the client."""
        client, vip, upstream, transceiver = flow.ends
        received, sent = self._tuple(client, vip), self._tuple(upstream, transceiver)
        answered, returned = self._tuple(transceiver, upstream), self._tuple(vip, client)
        return (
            (received, self._value(sent, flow, _TO_TRANSCEIVER)),
            (answered, self._value(returned, flow, _TO_CLIENT)),
        )

    def _set(self, key: bytes, value: bytes) -> bool:
        """Set an entry, whose counters stay when it was there; says whether it is new."""
        try:
            self._map.update(key, value, bpfsys.Update.CREATE_ONLY)
        except FileExistsError:
            found = self._map.lookup(key)
            if found is None or not self._same_flow(found, value):
                self._map.update(key, value)
            return False
        except OSError as error:
            if error.errno == errno.E2BIG:
                raise DataplaneFull(
                    f"All {self.capacity} flows of the kernel's map are in use; load it with more."
                ) from None
            raise DataplaneError(f"The kernel did not take a flow: {error.strerror}.") from None
        return True

    def _value(self, rewrite: bytes, flow: FlowTuple, direction: int) -> bytes:
        value = bytearray(self._map.value.size)
        value[self._rewrite] = rewrite
        value[self._route] = flow.route
        value[self._direction] = direction
        return bytes(value)

    def _tuple(self, source: bytes, destination: bytes) -> bytes:
        """The addresses that a packet has, from those as `Endpoint.packed` has them."""
        packed = bytearray(self._map.key.size)
        # Of the 16 bytes of address, IPv4 takes the last.
        packed[self._src], packed[self._src_port] = source[self._address], source[16:]
        packed[self._dst], packed[self._dst_port] = destination[self._address], destination[16:]
        return bytes(packed)

    def _ends(self, packed: bytes) -> tuple[bytes, bytes]:
        """Source and destination of `_tuple`."""
        source = (V4_MAPPED + packed[self._src])[-16:] + packed[self._src_port]
        destination = (V4_MAPPED + packed[self._dst])[-16:] + packed[self._dst_port]
        return source, destination

    def _activity_of(self, key: bytes, value: bytes) -> Activity:
        """What an entry has counted, if it is there and of this flow."""
        found = self._map.lookup(key)
        if found is None or not self._same_flow(found, value):
            return Activity()
        packets, size, last_seen = (
            int.from_bytes(found[span], sys.byteorder) for span in self._activity
        )
        return Activity(packets, size, last_seen * _NANOSECOND)

    def _same_flow(self, one: bytes, other: bytes) -> bool:
        """Whether two values are of the same flow and direction, whatever they have counted."""
        return (
            one[self._rewrite] == other[self._rewrite]
            and one[self._route] == other[self._route]
            and one[self._direction] == other[self._direction]
        )
