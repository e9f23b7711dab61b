"""The relay's own addresses, which flows name by number: VIPs and upstream addresses.

A number never changes its meaning while a flow has it. An address that the relay gives up stays in
its row as a former one, for the flows that have it, until another address needs the row.

The program finds the row of an address by a slot, of which each address has one for itself.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from random import Random
from struct import Struct

from relay.dataplane.kernel.memory import MappedArray
from relay.dataplane.kernel.pins import PinnedMap, Pins
from relay.errors import DataplaneError
from relay.wire.endpoint import PACKED_SIZE, Endpoint

VIPS, UPSTREAMS = "vips", "upstreams"
PORTS = 65_536  # records of each upstream address
_CURRENT, _FORMER = 1, 2  # enum own of bpf/relay.h
_TABLE = {VIPS: 0x100, UPSTREAMS: 0x200}  # enum own_table
_SLOT_BITS = 10
_ATTEMPTS = 100_000  # the tables' 96 addresses have slots of their own with one seed of ninety
_PACKED = Struct("=4IH")
_FACTORS = 0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F, 1, 0x165667B1
_LOW = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: the bytes that tell it from others, and its fields.

    Attributes:
        name: The packed address; with its port for a VIP.
        fields: What the row is packed from.
    """

    name: bytes
    fields: Mapping[str, bytes | int]


def slot_of(name: bytes, seed: int) -> int:
    """The slot of an address, or of an address and port (`find_own` of bpf/flows.bpf.c)."""
    mixed = 0
    for part, factor in zip(_PACKED.unpack(name.ljust(PACKED_SIZE, b"\0")), _FACTORS, strict=True):
        mixed ^= part * factor & _LOW
    return (mixed * seed & _LOW) >> (32 - _SLOT_BITS)


def find_seed(names: Sequence[bytes], seed: int, random: Random) -> int:
    """A seed with which each address has a slot of its own: the one given, if it will do.

    Raises:
        DataplaneError: There is none: two are the same.
    """
    for _ in range(_ATTEMPTS):
        if seed and len({slot_of(name, seed) for name in names}) == len(names):
            return seed
        seed = random.getrandbits(32) | 1
    raise DataplaneError("Two of the relay's addresses are the same.")


def plan_rows(
    there: Mapping[int, bytes], wanted: Sequence[bytes], size: int, used: frozenset[int]
) -> dict[int, bytes] | None:
    """Which row each address gets, so that none that a flow has changes.

    Args:
        there: The rows that are there, former ones too.
        wanted: The addresses that are the relay's from now on.
        size: For how many rows there is room.
        used: The rows that a flow has.

    Returns:
        The wanted addresses by their rows; None when there is no room.
    """
    kept = {number: name for number, name in there.items() if name in wanted}
    free = [number for number in range(size) if number not in there]
    free += [number for number in there if number not in kept and number not in used]
    new = [name for name in dict.fromkeys(wanted) if name not in kept.values()]
    if len(new) > len(free):
        return None
    return kept | dict(zip(free, new, strict=False))


class OwnTable:
    """A table of an instance, as memory.

    Args:
        pins: The instance.
        name: `VIPS` or `UPSTREAMS`.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """

    def __init__(self, pins: Pins, name: str) -> None:
        self._rows = MappedArray(pins.map(name))
        spans = self._rows.spans
        self._address, self._own = spans["addr.word"], spans["own"].start
        self._port = spans.get("port", slice(0))
        self._table = name
        self._found: dict[bytes, int] = {}

    def name(self, number: int) -> bytes:
        """The address in a row, packed, with its port if it is a VIP."""
        row = self._rows.element(number)
        return bytes(row[self._address]) + bytes(row[self._port])

    def names(self) -> dict[int, bytes]:
        """All addresses by their rows, former ones too."""
        return {n: self.name(n) for n in range(self._rows.count) if self._state(n)}

    def number(self, name: bytes) -> int:
        """The row of an address.

        Raises:
            DataplaneError: It has none.
        """
        found = self._found.get(name)
        if found is None or self.name(found) != name:  # another one may have the row by now
            self._found = {name: number for number, name in self.names().items()}
            found = self._found.get(name)
        if found is None:
            address = Endpoint.unpack(name.ljust(PACKED_SIZE, b"\0")).host
            raise DataplaneError(
                f"{address} is none of the {self._table} that the program was loaded with."
            )
        return found

    def write(self, rows: Mapping[int, bytes]) -> None:
        """Write rows, whole, and let all others be former ones."""
        for number in range(self._rows.count):
            if number in rows:
                self._rows.element(number)[: len(rows[number])] = rows[number]
            elif self._state(number):
                self._rows.element(number)[self._own] = _FORMER

    def _state(self, number: int) -> int:
        return self._rows.element(number)[self._own]

    def close(self) -> None:
        """Let go of the memory."""
        self._rows.close()


def write_rows(
    pins: Pins,
    rows: Mapping[str, Sequence[Row]],
    used: Mapping[str, frozenset[int]],
    room: Mapping[str, int],
    random: Random,
) -> None:
    """Make these the relay's addresses, in both tables.

    Args:
        pins: The instance.
        rows: The rows of each table.
        used: The rows of each that a flow has.
        room: For how many rows each has room.
        random: Where a seed comes from.

    Raises:
        DataplaneError: There is no room for them beside those that flows have.
    """
    slots: dict[bytes, int] = {}
    for name, bit in _TABLE.items():
        with closing(OwnTable(pins, name)) as table, PinnedMap(pins.map(name)) as layout:
            fields = {row.name: row.fields for row in rows[name]}
            plan = plan_rows(table.names(), list(fields), room[name], used[name])
            if plan is None:
                raise DataplaneError(
                    f"The running program has room for {room[name]} {name}, those that flows still "
                    "have included. At a quiet time, because all flows go with the program, run "
                    f"`icelane relay unload --instance {pins.instance}` and load again."
                )
            table.write(
                {
                    number: layout.value.pack({**fields[address], "own": _CURRENT})
                    for number, address in plan.items()
                }
            )
            slots |= {address: bit | number for number, address in table.names().items()}
    _write_slots(pins, slots, random)


def _write_slots(pins: Pins, slots: Mapping[bytes, int], random: Random) -> None:
    """Give each address its slot; with another seed only where a new address needs one."""
    with (
        PinnedMap(pins.map("flow_hash")) as table,
        closing(MappedArray(pins.map("own_slots"))) as opened,
    ):
        key, seed_at = table.key.number(0), table.value.spans["own_seed"]
        how = bytearray(table.lookup(key) or b"")
        seed = find_seed(list(slots), int.from_bytes(how[seed_at], sys.byteorder), random)
        wanted = {slot_of(name, seed): entry for name, entry in slots.items()}
        for slot in range(opened.count):
            opened.words[slot * opened.stride // 4] = wanted.get(slot, 0)
        how[seed_at] = seed.to_bytes(4, sys.byteorder)
        table.update(key, bytes(how))
