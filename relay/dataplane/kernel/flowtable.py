"""Confirmed flows in memory that the program forwards by (bpf/relay.h): adding and removing them.

One process writes, the agent; any may read. The order of stores is what keeps every packet from
being forwarded by half a record: see `install` and `remove`.
"""

import sys
from collections.abc import Container, Iterable, Iterator

from relay.core.flowtuple import FlowTuple
from relay.dataplane.errors import DataplaneFull
from relay.dataplane.flowrecord import Activity, FlowRecord
from relay.dataplane.kernel.flowindex import FlowIndex, buckets_for, hash_tuple
from relay.dataplane.kernel.flowrecords import REPLACED, Ends, FlowRecords, Record, kind_of
from relay.dataplane.kernel.grace import GracePeriod, Resting
from relay.dataplane.kernel.memory import MappedArray, fence
from relay.dataplane.kernel.ownaddresses import UPSTREAMS, VIPS, OwnTable
from relay.dataplane.kernel.pins import Instance
from relay.dataplane.kernel.ticks import Ticks
from relay.dataplane.kernel.transceivers import Transceivers
from relay.errors import DataplaneError
from relay.wire.endpoint import PACKED_SIZE, Endpoint

_ADDRESS = 16  # bytes of a packed endpoint
_PORT_MASK = 0xFFFF
_DECODED = 128  # flows that are decoded in one go: half a millisecond


class FlowTable:
    """The flows of an instance.

    Args:
        pins: The instance.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """

    def __init__(self, pins: Instance) -> None:
        self._pins = pins
        self._seed, self.capacity, buckets = _read_hash(pins, "seed", "max_flows", "buckets")
        self._records = FlowRecords(pins)
        self._buckets = MappedArray(pins.opened("flow_index"))
        self._index = FlowIndex(self._buckets.longs, buckets, self._hash_at)
        self._transceivers = Transceivers(pins)
        self._vips, self._upstreams = OwnTable(pins, VIPS), OwnTable(pins, UPSTREAMS)
        self._ticks: Ticks | None = None
        # The writer's: whether it is one, how many flows there are, and which records were in use
        # so short a time ago that a program may still read them.
        self._writes = False
        self._grace: GracePeriod | None = None
        self._count = 0
        self._resting = Resting()
        self._waited = 0, 0  # marks up to which a grace period has passed
        self._freed = 0, 0  # those up to which all rests no longer

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
        client, vip, source, transceiver = flow.ends
        upstream = self._upstreams.number(source[:_ADDRESS])
        position = self._upstreams.position(upstream, _port_of(source))
        hashed = hash_tuple(self._seed, client, vip)
        found, place = self._place(hashed, client, vip)
        if place is None:
            place = self._index.make_place(hashed)
        there = self._records.read(position)
        is_there = there is not None and self._is(flow, there)
        if self._count >= self.capacity and not is_there:
            raise DataplaneFull(
                f"All {self.capacity} flows of the kernel's table are in use; load it with more."
            )
        if place is None:
            raise DataplaneFull(
                f"{self._count} of {self.capacity} flows of the kernel's table are in use, and "
                f"{self._index.stashed} of them have no place in their buckets, which is the most."
            )
        if there is not None and is_there:
            ends = there.ends._replace(kind=there.ends.kind & ~REPLACED)
        else:
            ends = Ends(
                client,
                self._vips.number(vip),
                upstream,
                self._transceivers.take(transceiver),
                kind_of(client, transceiver),
            )
            if there is not None:
                self._take_out(there)
            if position in self._resting:
                self.settle()
                self._free_what_rested()
            self._records.write(position, ends, flow.route)
            self._count += 1
            fence()
        self._records.publish(position, ends)
        fence()
        before = None if found is None else self._index.position(found)
        self._index.point(place, hashed, position)
        if before not in {None, position} and (replaced := self._records.read(before)):
            kind = replaced.ends.kind | REPLACED
            self._records.publish(before, replaced.ends._replace(kind=kind))

    def take_over(self, record: FlowRecord) -> None:
        """Install a flow that something else forwarded before, with what it has counted.

        Raises:
            DataplaneFull: There is no room.
            DataplaneError: One of its addresses is not the relay's.
        """
        self.install(record.flow)
        there = self._find(record.flow)
        if there is not None and not any(packets for packets, _, _ in there.counts):
            at = self._clock().at
            counts = [
                (each.packets, each.bytes, at(each.last_seen) if each.last_seen else 0)
                for each in (record.to_transceiver, record.to_client)
            ]
            self._records.write_counts(there.position, *counts)

    def write_index(self) -> int:
        """Enter the flows that are not in the index, as none is when it is new.

        Returns:
            How many found no place: their clients' packets are the agent's.
        """
        homeless = 0
        if self._index.count() >= self._records.count():
            return homeless  # a million entries are soon counted, and take a while to look for
        for record in self._records.read_all():
            client, vip = record.ends.client, self._vips.name(record.ends.vip)
            hashed = hash_tuple(self._seed, client, vip)
            found, place = self._place(hashed, client, vip)
            if found is None:
                place = self._index.make_place(hashed) if place is None else place
                if place is None:
                    homeless += 1
                else:
                    self._index.point(place, hashed, record.position)
        return homeless

    def remove(self, flow: FlowTuple) -> None:
        """Remove a flow; one that is not there, or that another has replaced, is fine."""
        self._begin_to_write()
        if (record := self._find(flow)) is not None:
            self._take_out(record)

    def hold(self) -> None:
        """Open what is pinned and needed later: whoever unloads the instance removes the pins."""
        self._clock()
        self._grace_period()

    def settle(self) -> None:
        """Wait until no program reads what was removed before. Some milliseconds.

        It may run in a thread of its own, beside everything else.
        """
        marks = self._resting.mark, self._transceivers.resting.mark
        if marks != self._waited:
            self._grace_period().wait()
            self._waited = marks

    def record(self, flow: FlowTuple) -> FlowRecord:
        """What passed of a flow; nothing if it is not there."""
        record = self._find(flow)
        return FlowRecord(flow, *self._activities(record)) if record else FlowRecord(flow)

    def bindings(self, flow: FlowTuple) -> tuple[int, int] | None:
        """What names its next hops, see `relay.dataplane.kernel.hopview`; None: it is not there."""
        record = self._find(flow)
        return self._records.bindings(record.position) if record else None

    def records(self) -> Iterator[FlowRecord]:
        """Every flow with its activity."""
        for record, flow in self._listed():
            yield FlowRecord(flow, *self._activities(record))

    def tuples(self) -> Iterator[FlowTuple]:
        """Every flow."""
        for _, flow in self._listed():
            yield flow

    def at(self, positions: Iterable[int]) -> Iterator[tuple[int, FlowTuple]]:
        """The flows at some positions, with these; where there is none by now, it is left out."""
        for record, flow in self._named(filter(None, map(self._records.read, positions))):
            yield record.position, flow

    def idle(self, before: float) -> Iterator[list[FlowTuple]]:
        """The flows whose transceiver has sent nothing since a moment; a list for each batch read.

        It looks at every record and decodes only those that it gives, a few at a time.
        """
        for positions in self._records.idle(self._clock().at(before)):
            yield []  # many records were looked at, though perhaps none of them is idle
            for start in range(0, len(positions), _DECODED):
                some = positions[start : start + _DECODED]
                records = filter(None, map(self._records.read, some))
                yield [flow for _, flow in self._named(records)]

    def adopt(self, vips: Container[Endpoint]) -> list[tuple[bytes, int, bytes]]:
        """Be the writer from now on; what there is, as `Installed.adopt` says it."""
        self._begin_to_write()
        numbers = {
            number for number, name in self._vips.names().items() if Endpoint.unpack(name) in vips
        }
        there = []
        for number, address in self._upstreams.names().items():
            ports = self._upstreams.ports(number)
            start = self._upstreams.position(number, ports[0])
            taken = self._records.taken(start, start + len(ports), numbers)
            there.append((address, ports[0], taken))
        return there

    def routes(self) -> Iterator[int]:
        """The `route_word` of each flow's route."""
        return self._records.route_words()

    def of_client(self, ends: bytes) -> FlowTuple | None:
        """The flow of a client and a VIP, each packed."""
        client, vip = ends[:PACKED_SIZE], ends[PACKED_SIZE:]
        place, _ = self._place(hash_tuple(self._seed, client, vip), client, vip)
        position = self._index.position(place) if place is not None else None
        return self._flow_at(position) if position is not None else None

    def at_upstream(self, upstream: bytes) -> FlowTuple | None:
        """The flow at an upstream address, packed."""
        position = self.position(upstream)
        return self._flow_at(position) if position is not None else None

    def count(self) -> int:
        """How many flows there are."""
        return self._records.count()

    def carried(self) -> tuple[int, int]:
        """See `FlowRecords.carried`."""
        return self._records.carried()

    def stashed(self) -> int:
        """How many of them found no place in their buckets; the program takes longer for those."""
        return self._index.stashed

    def close(self) -> None:
        """Let go of the memory; the maps stay pinned."""
        self._index.close()
        for each in (self._vips, self._upstreams, self._transceivers, self._buckets, self._records):
            each.close()
        if self._grace is not None:
            self._grace.close()

    def _begin_to_write(self) -> None:
        """Count what is there, the first time: only who writes has to know."""
        if not self._writes:
            self._writes = True
            self._transceivers.adopt(self._records.transceivers())
            self._count = self._records.count()
        self._free_what_rested()

    def _free_what_rested(self) -> None:
        if self._freed != self._waited:
            self._freed = self._waited
            records, transceivers = self._freed
            self._resting.free(records)
            self._transceivers.settle(transceivers)

    def _take_out(self, record: Record) -> None:
        """Remove a flow: from its client first, then altogether."""
        ends = record.ends
        hashed = hash_tuple(self._seed, ends.client, self._vips.name(ends.vip))
        for place in self._index.look(hashed)[0]:
            if self._index.position(place) == record.position:
                self._index.clear(place)
                break
        self._records.clear(record.position)
        self._resting.add(record.position)
        self._transceivers.give_back(ends.transceiver)
        self._count -= 1

    def _place(self, hashed: int, client: bytes, vip: bytes) -> tuple[int | None, int | None]:
        """Where the entry of a tuple is, if it has one; and where one may be written, if known."""
        places, free = self._index.look(hashed)
        for place in places:
            if self._has(place, client, vip):
                return place, place
        return None, free

    def _has(self, place: int, client: bytes, vip: bytes) -> bool:
        """Whether an entry with a tuple's tag is that tuple's."""
        there = self._records.read(self._index.position(place) or 0)
        return (
            there is not None
            and there.ends.client == client
            and self._vips.name(there.ends.vip) == vip
        )

    def _find(self, flow: FlowTuple) -> Record | None:
        """The record of this very flow."""
        position = self.position(flow.packed_upstream)
        there = self._records.read(position) if position is not None else None
        return there if there is not None and self._is(flow, there) else None

    def position(self, upstream: bytes) -> int | None:
        """Where the record of an upstream address is, packed; None: there are no flows of it."""
        try:
            number = self._upstreams.number(upstream[:_ADDRESS])
            return self._upstreams.position(number, _port_of(upstream))
        except DataplaneError:
            return None

    def _flow_at(self, position: int) -> FlowTuple | None:
        there = self._records.read(position)
        return next(self._named([there]))[1] if there is not None else None

    def _is(self, flow: FlowTuple, there: Record) -> bool:
        """Whether a record at a flow's position is this very flow's."""
        client, vip, _, transceiver = flow.ends
        return (
            there.ends.client == client
            and self._vips.name(there.ends.vip) == vip
            and self._transceivers.packed(there.ends.transceiver) == transceiver
            and there.route == flow.route
        )

    def _listed(self) -> Iterator[tuple[Record, FlowTuple]]:
        return self._named(self._records.read_all())

    def _named(self, records: Iterable[Record]) -> Iterator[tuple[Record, FlowTuple]]:
        """Records with their flows."""
        vips, upstreams = self._vips.names(), self._upstreams.names()
        bases = {number: self._upstreams.base(number) for number in upstreams}
        transceivers: dict[int, bytes] = {}
        for record in records:
            ends = record.ends
            if ends.transceiver not in transceivers:
                transceivers[ends.transceiver] = self._transceivers.packed(ends.transceiver)
            port = (record.position - bases[ends.upstream]) & _PORT_MASK
            yield (
                record,
                FlowTuple.of(
                    ends.client,
                    vips[ends.vip],
                    upstreams[ends.upstream] + port.to_bytes(2, "big"),
                    transceivers[ends.transceiver],
                    record.route,
                ),
            )

    def _activities(self, record: Record) -> tuple[Activity, Activity]:
        moment = self._clock().moment
        (packets, size, seen), (packets_back, size_back, seen_back) = record.counts
        return (
            Activity(packets, size, moment(seen)),
            Activity(packets_back, size_back, moment(seen_back)),
        )

    def _hash_at(self, position: int) -> int:
        there = self._records.read(position)
        if there is None:  # never: an entry goes before its record does
            return 0
        return hash_tuple(self._seed, there.ends.client, self._vips.name(there.ends.vip))

    def _clock(self) -> Ticks:
        if self._ticks is None:
            self._ticks = self._pins.read_ticks()
        return self._ticks

    def _grace_period(self) -> GracePeriod:
        if self._grace is None:
            self._grace = self._pins.grace_period()
        return self._grace


def _port_of(packed: bytes) -> int:
    return packed[-2] << 8 | packed[-1]


def read_hash(pins: Instance) -> tuple[int, int]:
    """The seed of an instance's table of flows, and for how many there is room."""
    seed, capacity = _read_hash(pins, "seed", "max_flows")
    return seed, capacity


def _read_hash(pins: Instance, *names: str) -> list[int]:
    with pins.opened("flow_hash") as table:
        value, spans = table.lookup(table.key.number(0)) or b"", table.value.spans
    return [int.from_bytes(value[spans[name]], sys.byteorder) for name in names]


def write_hash(pins: Instance, seed: int, capacity: int) -> None:
    """Make the table one of so many flows, before there is any."""
    with pins.opened("flow_hash") as table:
        fields = {"seed": seed, "max_flows": capacity, "buckets": buckets_for(capacity)}
        table.update(table.key.number(0), table.value.pack(fields))
