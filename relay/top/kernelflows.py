"""The kernel's flows, looked at as memory: all of them, many times a minute.

A look copies the records (64 bytes each) and keeps the copy; what flows have done between two looks
is worked out on whole columns of them. So 100,000 flows take some milliseconds, nobody is asked for
them, and it works as well where no agent runs.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from relay.admin.busiest import Question
from relay.admin.oneway import HEARD, SILENT
from relay.admin.typedfilter import FlowFilter, Word
from relay.core.flow import State
from relay.core.flowtuple import FlowTuple
from relay.dataplane.kernel.flowrecords import FLOW_RECORDS, FLOW_ROUTES, REPLACED
from relay.dataplane.kernel.flowtable import FlowTable
from relay.dataplane.kernel.hopview import HopView
from relay.dataplane.kernel.memory import MappedArray
from relay.dataplane.kernel.pins import Pins, table_id
from relay.dataplane.kernel.transceivers import Transceivers
from relay.wire.endpoint import Endpoint
from relay.wire.route import TARGET, Route, Target

_Array = npt.NDArray[Any]
_IN, _OUT = 0, 1  # enum direction of bpf/relay.h, less 1
_WAYS = {"to_transceiver": _IN, "to_client": _OUT}
# The columns of struct flow, by their names in the kernel's type information; addresses and ports
# are in network byte order.
_COLUMNS = {
    "client": ("client.word", ">u8", (2,)),
    "port": ("ends.client_port", ">u2", ()),
    "transceiver": ("ends.transceiver", "=u2", ()),
    "kind": ("ends.kind", "u1", ()),
    "bytes": ("bytes", "=u8", (2,)),
    "packets": ("packets", "=u4", (2,)),
    "bindings": ("bindings", "=u4", (2,)),
    "seen": ("seen", "=u4", (2,)),
}
_TARGET_WORD = slice(0, 8)  # bytes of a route in which the target is


class Sample(NamedTuple):
    """All records at a moment.

    Attributes:
        at: When, in seconds of the monotonic clock.
        records: Them, as a structured array.
    """

    at: float
    records: _Array


class KernelFlows:
    """The flows of a loaded instance, between two looks.

    Args:
        instance: Its name.
        clock: Seconds of the monotonic clock.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """

    def __init__(self, instance: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._pins = Pins(instance)
        self._clock = clock
        self._id = table_id(self._pins)
        with ExitStack() as opened:
            self._table = opened.enter_context(closing(FlowTable(self._pins)))
            self._memory = opened.enter_context(
                closing(MappedArray(self._pins.opened(FLOW_RECORDS)))
            )
            self._routes = opened.enter_context(
                closing(MappedArray(self._pins.opened(FLOW_ROUTES)))
            )
            self._names = opened.enter_context(closing(Transceivers(self._pins)))
            self._hops = opened.enter_context(closing(HopView(self._pins)))
            self._open = opened.pop_all()
        self._ticks = self._pins.read_ticks()
        spans = self._memory.spans
        self._type = np.dtype(
            {
                "names": list(_COLUMNS),
                "formats": [(code, shape) for _, code, shape in _COLUMNS.values()],
                "offsets": [spans[path].start for path, _, _ in _COLUMNS.values()],
                "itemsize": self._memory.stride,
            }
        )
        self._new = self._old = self._sample()

    def close(self) -> None:
        """Let go of the memory."""
        self._open.close()

    @property
    def is_orphaned(self) -> bool:
        """Whether the instance was unloaded meanwhile, and perhaps loaded anew: to other maps."""
        return table_id(self._pins) != self._id

    @property
    def capacity(self) -> int:
        """For how many flows there is room."""
        return self._table.capacity

    def look(self) -> None:
        """Look now; what is told from then on is about the time since the look before."""
        self._old, self._new = self._new, self._sample()
        self._ticks = self._pins.read_ticks()

    def totals(self) -> dict[str, float]:
        """All flows together: `flows`, `one_way` and, for both directions, `bit_rate`."""
        there = self._there()
        moved = self._moved("bytes")[there].sum()
        return {
            "flows": int(there.sum()),
            "one_way": int((there & self._one_way()).sum()),
            "bit_rate": 8 * float(moved) / self._elapsed,
        }

    def busiest(self, question: Question) -> dict[str, Any]:
        """See `relay.admin.busiest.busiest`: the same of the kernel's flows, without waiting."""
        mask = self._there() & self._fitting(question.wanted)
        positions = np.flatnonzero(mask)
        chosen = self._first(positions, question)
        if question.shown is not None and not question.connection:
            shown = self._table.of_client(question.shown)
            at = self._table.position(shown.packed_upstream) if shown is not None else None
            chosen += [at] if at is not None and at not in chosen else []
        answer: dict[str, Any] = {"flows": self.rows(chosen), "matching": len(positions)}
        if question.transceivers:
            answer["transceivers"] = list(self._by_transceiver(positions))
        return answer

    def rows(self, positions: list[int]) -> list[dict[str, Any]]:
        """Those of flows at some positions, as `busiest` gives them."""
        there = self._table.at(positions)
        return [self._row(position, flow) for position, flow in there]

    def row_at(self, upstream: str) -> dict[str, Any] | None:
        """That of the flow at an upstream address, if there is one."""
        position = self._table.position(Endpoint.parse(upstream).packed)
        return next(iter(self.rows([position])), None) if position is not None else None

    def _sample(self) -> Sample:
        return Sample(self._clock(), np.frombuffer(self._memory.octets, self._type).copy())

    @property
    def _elapsed(self) -> float:
        return max(self._new.at - self._old.at, 1e-3)

    def _there(self) -> _Array:
        kinds = self._new.records["kind"]
        there: _Array = (kinds > 0) & (kinds < REPLACED)
        return there

    def _moved(self, column: str) -> _Array:
        """What each record has counted between the looks, both directions."""
        ways = [self._moved_one(column, way) for way in (_IN, _OUT)]
        both: _Array = ways[_IN] + ways[_OUT]
        return both

    def _moved_one(self, column: str, way: int) -> _Array:
        """The same of one direction; 0 of a record that was written anew, as another flow's."""
        new, old = self._new.records, self._old.records
        same = new["bytes"][:, way] >= old["bytes"][:, way]
        # Packets are counted modulo 2^32, as the subtraction is.
        moved = new[column][:, way] - old[column][:, way]
        return np.where(same, moved, 0).astype(np.int64)

    def _one_way(self) -> _Array:
        """See `relay.admin.oneway.heard_alone`."""
        now = self._new.at
        seen = self._new.records["seen"]
        last, first = seen.max(axis=1), seen.min(axis=1)
        half: _Array = (last > self._ticks.at(now - HEARD)) & (first < self._ticks.at(now - SILENT))
        return half

    def _fitting(self, wanted: FlowFilter) -> _Array:
        fitting = np.ones(len(self._new.records), bool)
        for word in wanted.words:
            fitting &= self._fits(word)
        if wanted.one_way:
            fitting &= self._one_way()
        if wanted.state is not None and wanted.state != State.CONFIRMED.value:
            fitting[:] = False
        return fitting

    def _fits(self, word: Word) -> _Array:
        records = self._new.records
        fits = np.zeros(len(records), bool)
        if word.network is not None:
            fits = ~fits
            for half, shift in ((0, 64), (1, 0)):
                mask, value = (
                    number >> shift & (1 << 64) - 1 for number in (word.mask, word.network)
                )
                fits &= records["client"][:, half] & np.uint64(mask) == np.uint64(value)
            if word.port is not None:
                fits &= records["port"] == word.port
        fits |= np.isin(records["transceiver"], self._numbers(word))
        if word.target is not None:
            fits |= self._targets() == int.from_bytes(word.target)
        return fits

    def _numbers(self, word: Word) -> list[int]:
        """The transceivers whose addresses a word fits."""
        found = np.unique(self._new.records["transceiver"][self._there()])
        addresses = ((number, Endpoint.unpack(self._names.packed(number))) for number in found)
        return [number for number, address in addresses if word.fits_transceiver(str(address), b"")]

    def _targets(self) -> _Array:
        """The packed target of each flow's route, as a number."""
        words = np.frombuffer(self._routes.octets, ">u8")[:: self._routes.stride // 8]
        targets: _Array = words >> np.uint64(8) & np.uint64((1 << 48) - 1)
        return targets

    def _first(self, positions: _Array, question: Question) -> list[int]:
        """The positions of those that come first."""
        if not len(positions):
            return []
        keys = self._keys(question.sort, positions)
        if len(keys) == 1 and 0 < question.limit < len(positions):  # the rest need no order
            key = keys[0] if question.upward else -keys[0]
            nearest = np.argpartition(key, question.limit - 1)[: question.limit]
            positions, keys = positions[nearest], [keys[0][nearest]]
        order = np.lexsort(keys) if question.upward else np.lexsort(keys)[::-1]
        return [int(position) for position in positions[order[: question.limit]]]

    def _keys(self, sort: str, positions: _Array) -> list[_Array]:
        """By what they are sorted; the last one counts first."""
        records = self._new.records[positions]
        if sort == "packets":
            return [self._moved("packets")[positions]]
        if sort == "total":
            return [records["bytes"].sum(axis=1).astype(np.int64)]
        if sort == "idle":
            return [-records["seen"].max(axis=1).astype(np.int64)]
        if sort == "client":
            return [records["port"], records["client"][:, 1], records["client"][:, 0]]
        if sort == "transceiver":
            numbers, where = np.unique(records["transceiver"], return_inverse=True)
            names = [self._names.packed(number) for number in numbers]
            rank = {name: at for at, name in enumerate(sorted(names))}
            return [np.array([rank[name] for name in names])[where]]
        return [self._moved("bytes")[positions]]  # the kernel does not know how old a flow is

    def _row(self, position: int, flow: FlowTuple) -> dict[str, Any]:
        route = Route(flow.route)
        return {
            "client": str(flow.client),
            "transport": flow.transport.value,
            "vip": str(flow.vip),
            "upstream": str(flow.upstream),
            "transceiver": str(flow.transceiver),
            "target": str(route.target),
            "route": flow.route.hex(),
            "state": State.CONFIRMED.value,
            **{name: self._direction(position, way) for name, way in _WAYS.items()},
        }

    def _direction(self, position: int, way: int) -> dict[str, Any]:
        new, old = self._new.records[position], self._old.records[position]
        size, packets = int(new["bytes"][way]), int(new["packets"][way])
        moved = size - int(old["bytes"][way])
        sent = (packets - int(old["packets"][way])) & 0xFFFFFFFF if moved >= 0 else 0
        seen = int(new["seen"][way])
        hop = self._hops.show(int(new["bindings"][way]))
        return {
            "packets": packets,
            "bytes": size,
            "kernel_packets": packets,
            "packet_rate": round(sent / self._elapsed, 1),
            "bit_rate": round(8 * max(0, moved) / self._elapsed),
            "idle_seconds": round(max(0.0, self._new.at - self._ticks.moment(seen)), 2)
            if seen
            else None,
            "next_hop": asdict(hop) if hop is not None else None,
        }

    def _by_transceiver(self, positions: _Array) -> Iterator[Mapping[str, Any]]:
        """What goes to each transceiver and comes from it."""
        numbers, where, index = np.unique(
            self._new.records["transceiver"][positions], return_index=True, return_inverse=True
        )
        sums = {
            (name, column): np.bincount(
                index, self._moved_one(column, way)[positions], len(numbers)
            )
            for name, way in _WAYS.items()
            for column in ("packets", "bytes")
        }
        flows = np.bincount(index, minlength=len(numbers))
        for at, number in enumerate(numbers):
            route = bytes(self._routes.element(int(positions[where[at]])))
            yield {
                "transceiver": str(Endpoint.unpack(self._names.packed(int(number)))),
                "target": str(Target.unpack(route[TARGET])),
                "flows": int(flows[at]),
                **{
                    name: {
                        "packet_rate": round(float(sums[name, "packets"][at]) / self._elapsed, 1),
                        "bit_rate": round(8 * float(sums[name, "bytes"][at]) / self._elapsed),
                    }
                    for name in _WAYS
                },
            }
