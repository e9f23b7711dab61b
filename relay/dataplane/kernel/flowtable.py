"""Confirmed flows in memory that the program forwards by (bpf/relay.h): adding and removing them.

One process writes, the agent; any may read. The order of stores is what keeps every packet from
being forwarded by half a record: see `install` and `remove`.
"""

import sys
from collections.abc import Iterable, Iterator

from relay.core.flowtuple import FlowTuple
from relay.dataplane.errors import DataplaneFull
from relay.dataplane.flowrecord import Activity, FlowRecord
from relay.dataplane.kernel.flowindex import FlowIndex, buckets_for, hash_tuple
from relay.dataplane.kernel.flowrecords import REPLACED, Ends, FlowRecords, kind_of
from relay.dataplane.kernel.grace import GracePeriod
from relay.dataplane.kernel.memory import MappedArray, fence
from relay.dataplane.kernel.ownaddresses import UPSTREAMS, VIPS, OwnTable
from relay.dataplane.kernel.pins import PinnedMap, Pins
from relay.dataplane.kernel.ticks import Ticks
from relay.dataplane.kernel.transceivers import Transceivers

_ADDRESS = 16  # bytes of a packed endpoint
_HASH = "seed", "max_flows"


class FlowTable:
    """The flows of an instance.

    Args:
        pins: The instance.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """

    def __init__(self, pins: Pins) -> None:
        self._pins = pins
        seed, self.capacity = read_hash(pins)
        self._seed = seed
        self._records = FlowRecords(pins)
        self._buckets = MappedArray(pins.map("flow_index"))
        self._index = FlowIndex(self._buckets.longs, self._hash_at)
        self._transceivers = Transceivers(pins)
        self._vips, self._upstreams = OwnTable(pins, VIPS), OwnTable(pins, UPSTREAMS)
        self._ticks: Ticks | None = None
        # The writer's: whether it is one, how many flows there are, and which records were in use
        # so short a time ago that a program may still read them.
        self._grace: GracePeriod | None = None
        self._count = 0
        self._resting: set[int] = set()

    def install(self, flow: FlowTuple) -> None:
        """Add a flow; the counters of one that is there stay.

        Its transceiver's packets are forwarded first, then its client's: what is there alone for a
        moment is the direction in which nobody sends yet. A flow that its client had before keeps
        forwarding its transceiver's packets until it is removed.

        Raises:
            DataplaneFull: There is no room.
            DataplaneError: One of its addresses is not the relay's.
        """
        self._begin_to_write()
        client, vip, _, transceiver = flow.ends
        upstream, position = self._position(flow)
        hashed = hash_tuple(self._seed, client, vip)
        place = self._place(hashed, client, vip)
        there = self._records.ends(position)
        is_there = there is not None and self._is(flow, position, there)
        if place is None or (self._count >= self.capacity and not is_there):
            raise DataplaneFull(
                f"All {self.capacity} flows of the kernel's table are in use; load it with more."
            )
        if there is not None and is_there:
            ends = there._replace(kind=there.kind & ~REPLACED)
        else:
            ends = Ends(
                client,
                self._vips.number(vip),
                upstream,
                self._transceivers.take(transceiver),
                kind_of(client, transceiver),
            )
            if there is not None:
                self._take_out(position, there)
            if position in self._resting:
                self.settle()
            self._records.write(position, ends, flow.route)
            self._count += 1
            fence()
        self._records.publish(position, ends)
        fence()
        before = self._index.position(place)
        self._index.point(place, hashed, position)
        if before not in {None, position} and (replaced := self._records.ends(before)):
            self._records.publish(before, replaced._replace(kind=replaced.kind | REPLACED))

    def remove(self, flow: FlowTuple) -> None:
        """Remove a flow; one that is not there, or that another has replaced, is fine."""
        self._begin_to_write()
        _, position = self._position(flow)
        there = self._records.ends(position)
        if there is not None and self._is(flow, position, there):
            self._take_out(position, there)

    def settle(self) -> None:
        """Let what was removed be used again: wait until no program reads it. Some milliseconds."""
        if self._grace is None:
            return
        resting, leaving = set(self._resting), self._transceivers.leaving()
        if resting:
            self._grace.wait()
            self._resting -= resting
            self._transceivers.settle(leaving)

    def record(self, flow: FlowTuple) -> FlowRecord:
        """What passed of a flow; nothing if it is not there."""
        _, position = self._position(flow)
        there = self._records.ends(position)
        if there is None or not self._is(flow, position, there):
            return FlowRecord(flow)
        return FlowRecord(flow, *self._activities(position))

    def records(self) -> Iterator[FlowRecord]:
        """Every flow with its activity."""
        for position, flow in self._listed():
            yield FlowRecord(flow, *self._activities(position))

    def tuples(self) -> Iterator[FlowTuple]:
        """Every flow."""
        for _, flow in self._listed():
            yield flow

    def idle(self, before: float) -> Iterator[list[FlowTuple]]:
        """The flows whose transceiver has sent nothing since a moment; a list for each batch read.

        It looks at every record and decodes only those that it gives.
        """
        for positions in self._records.idle(self._clock().at(before)):
            yield [flow for _, flow in self._decoded(positions)]

    def count(self) -> int:
        """How many flows there are."""
        return self._records.count()

    def close(self) -> None:
        """Let go of the memory; the maps stay pinned."""
        for each in (self._vips, self._upstreams, self._transceivers, self._buckets, self._records):
            each.close()
        if self._grace is not None:
            self._grace.close()

    def _begin_to_write(self) -> None:
        """Count what is there, once: only who writes has to know."""
        if self._grace is None:
            self._grace = GracePeriod()
            self._transceivers.adopt(self._records.transceivers())
            self._count = self._records.count()

    def _take_out(self, position: int, there: Ends) -> None:
        """Remove a flow whose ends are known: from its client first, then altogether."""
        hashed = hash_tuple(self._seed, there.client, self._vips.name(there.vip))
        place = self._index.find(hashed)
        if place is not None and self._index.position(place) == position:
            self._index.clear(place)
        self._records.clear(position)
        self._resting.add(position)
        self._transceivers.give_back(there.transceiver)
        self._count -= 1

    def _place(self, hashed: int, client: bytes, vip: bytes) -> int | None:
        """Where the entry of a client's tuple is or can be; None when there is no place for it."""
        place = self._index.find(hashed)
        if place is None:
            return self._index.make_place(hashed)
        there = self._records.ends(self._index.position(place) or 0)
        same = there and there.client == client and self._vips.name(there.vip) == vip
        # The program takes the first entry with a tag, so two tuples cannot share buckets and tag.
        return place if same else None

    def _is(self, flow: FlowTuple, position: int, there: Ends) -> bool:
        """Whether the record at a position is this very flow's."""
        client, vip, _, transceiver = flow.ends
        return (
            there.client == client
            and self._vips.name(there.vip) == vip
            and self._transceivers.packed(there.transceiver) == transceiver
            and self._records.route(position) == flow.route
        )

    def _position(self, flow: FlowTuple) -> tuple[int, int]:
        """The number of a flow's upstream address, and where its record is."""
        upstream = flow.ends[2]
        number = self._upstreams.number(upstream[:_ADDRESS])
        return number, self._upstreams.position(number, int.from_bytes(upstream[_ADDRESS:], "big"))

    def _listed(self) -> Iterator[tuple[int, FlowTuple]]:
        return self._decoded(self._records.listed())

    def _decoded(self, positions: Iterable[int]) -> Iterator[tuple[int, FlowTuple]]:
        """The flows at positions, of those that are still there."""
        for position in positions:
            there = self._records.ends(position)
            if there is not None:
                port = self._upstreams.port(there.upstream, position)
                yield (
                    position,
                    FlowTuple.of(
                        there.client,
                        self._vips.name(there.vip),
                        self._upstreams.name(there.upstream) + port.to_bytes(2, "big"),
                        self._transceivers.packed(there.transceiver),
                        self._records.route(position),
                    ),
                )

    def _activities(self, position: int) -> Iterator[Activity]:
        moment = self._clock().moment
        for packets, size, seen in self._records.counts(position):
            yield Activity(packets, size, moment(seen))

    def _hash_at(self, position: int) -> int:
        there = self._records.ends(position)
        if there is None:  # never: an entry goes before its record does
            return 0
        return hash_tuple(self._seed, there.client, self._vips.name(there.vip))

    def _clock(self) -> Ticks:
        if self._ticks is None:
            self._ticks = Ticks.read(self._pins.ticks)
        return self._ticks


def read_hash(pins: Pins) -> tuple[int, int]:
    """The seed of an instance's table of flows, and for how many there is room."""
    with PinnedMap(pins.map("flow_hash")) as table:
        value, spans = table.lookup(table.key.number(0)) or b"", table.value.spans
    seed, capacity = (int.from_bytes(value[spans[name]], sys.byteorder) for name in _HASH)
    return seed, capacity


def write_hash(pins: Pins, seed: int, capacity: int) -> None:
    """Make the table one of so many flows, before there is any."""
    with PinnedMap(pins.map("flow_hash")) as table:
        fields = {"seed": seed, "max_flows": capacity, "buckets": buckets_for(capacity)}
        table.update(table.key.number(0), table.value.pack(fields))
