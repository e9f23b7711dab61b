"""The relay's own addresses, which flows name by number: VIPs and upstream addresses.

A number never changes its meaning while a flow has it. An address that the relay gives up stays in
its row as a former one, for the flows that have it, until another address needs the row.

The program finds the row of an address by a slot, of which each address has one for itself.
"""

import sys
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import closing
from random import Random
from struct import Struct

from relay.dataplane.kernel.memory import MappedArray
from relay.dataplane.kernel.pins import Instance
from relay.errors import DataplaneError
from relay.wire.endpoint import PACKED_SIZE, Endpoint

VIPS, UPSTREAMS = "own_vips", "own_upstreams"  # the maps
_HASH, _SLOTS = "flow_hash", "own_slots"
_PEOPLE = {VIPS: "VIPs", UPSTREAMS: "upstream addresses"}
CURRENT, FORMER = 1, 2  # enum own of bpf/relay.h
_TABLE = {VIPS: 0x100, UPSTREAMS: 0x200}  # enum own_table
_SLOT_BITS = 12
_ATTEMPTS = 10_000  # even full tables' 128 addresses have slots of their own with one seed of eight
_PACKED = Struct("=4IH")
_FACTORS = 0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F, 1, 0x165667B1
_LOW = (1 << 32) - 1


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
    there: Mapping[int, bytes], wanted: Iterable[bytes], size: int, used: Container[int]
) -> dict[bytes, int] | None:
    """Which row each address gets, so that none that a flow has changes.

    Args:
        there: The rows that are there, former ones too.
        wanted: The addresses that are the relay's from now on, each once.
        size: For how many rows there is room.
        used: The rows that a flow has.

    Returns:
        The row of each wanted address; None when there is no room.
    """
    rows = {name: number for number, name in there.items() if name in wanted}
    free = (
        number
        for number in range(size)
        if number not in rows.values() and (number not in there or number not in used)
    )
    for name in wanted:
        if name not in rows:
            number = next(free, None)
            if number is None:
                return None
            rows[name] = number
    return rows


def place(taken: Iterable[range], count: int, size: int) -> int | None:
    """The first place for so many records in a row; None when there is none.

    Args:
        taken: The positions that are taken.
        count: How many are wanted.
        size: How many there are in all.
    """
    start = 0
    for each in sorted(taken, key=lambda each: each.start):
        if start + count <= each.start:
            break
        start = max(start, each.stop)
    return start if start + count <= size else None


class OwnTable:
    """A table of an instance, as memory.

    What is asked for often is kept until the tables are written again.

    Args:
        pins: The instance.
        name: `VIPS` or `UPSTREAMS`.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """

    def __init__(self, pins: Instance, name: str) -> None:
        self._rows = MappedArray(pins.opened(name))
        self._spans = self._rows.spans
        self._port = self._spans["port"] if name == VIPS else slice(0)
        self._table = name
        self._hash = MappedArray(pins.opened(_HASH))
        self._writes_at = self._hash.spans["own_writes"].start // 4
        self._writes = -1
        self._names: dict[int, bytes] = {}
        self._numbers: dict[bytes, int] = {}
        self._positions: dict[int, tuple[int, range]] = {}
        self.size = self._rows.count

    def names(self) -> dict[int, bytes]:
        """All addresses by their rows, former ones too: packed, with its port for a VIP."""
        writes = self._hash.words[self._writes_at]
        if writes != self._writes:
            self._names = {
                number: bytes(row[self._spans["addr.word"]]) + bytes(row[self._port])
                for number in range(self.size)
                if self.field(number, "own")
                for row in [self._rows.element(number)]
            }
            self._numbers = {name: number for number, name in self._names.items()}
            self._positions = {}
            self._writes = writes
        return self._names

    def name(self, number: int) -> bytes:
        """The address in a row."""
        return self.names()[number]

    def number(self, name: bytes) -> int:
        """The row of an address.

        Raises:
            DataplaneError: It has none.
        """
        self.names()
        try:
            return self._numbers[name]
        except KeyError:
            address = Endpoint.unpack(name.ljust(PACKED_SIZE, b"\0")).host
            raise DataplaneError(
                f"{address} is none of the {_PEOPLE[self._table]} that the program was loaded with."
            ) from None

    def field(self, number: int, name: str) -> int:
        """A number in a row."""
        return int.from_bytes(self._rows.element(number)[self._spans[name]], sys.byteorder)

    def base(self, number: int) -> int:
        """What an upstream port is above, to be the position of its record, modulo 2^32."""
        return self._base_and_ports(number)[0]

    def ports(self, number: int) -> range:
        """The ports of an upstream address that have records."""
        return self._base_and_ports(number)[1]

    def position(self, number: int, port: int) -> int:
        """Where the record of an upstream address's port is.

        Raises:
            DataplaneError: It has none.
        """
        base, ports = self._base_and_ports(number)
        if port not in ports:
            raise DataplaneError(
                f"The upstream port {port} is none that the program was loaded with."
            )
        return (base + port) & _LOW

    def _base_and_ports(self, number: int) -> tuple[int, range]:
        self.names()
        found = self._positions.get(number)
        if found is None:
            ports = range(self.field(number, "lowest"), self.field(number, "highest") + 1)
            found = self._positions[number] = self.field(number, "base"), ports
        return found

    def write(self, rows: Mapping[int, bytes], used: Container[int]) -> None:
        """Write rows, whole. Of the others, those that a flow has become former ones."""
        own = self._spans["own"].start
        for number in range(self.size):
            if number in rows:
                self._rows.element(number)[: len(rows[number])] = rows[number]
            elif self.field(number, "own"):
                self._rows.element(number)[own] = FORMER if number in used else 0

    def close(self) -> None:
        """Let go of the memory."""
        self._rows.close()
        self._hash.close()


class OwnAddresses:
    """Both tables of an instance, to write them.

    Args:
        pins: The instance.
        records: How many records of flows there are.
        used: The rows of each table that a flow has.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """

    def __init__(self, pins: Instance, records: int, used: Mapping[str, frozenset[int]]) -> None:
        self._pins = pins
        self._records = records
        self._used = used

    def write(
        self, vips: Iterable[bytes], upstreams: Mapping[bytes, range], random: Random
    ) -> None:
        """Make these the relay's addresses.

        Args:
            vips: The VIPs, each as `Endpoint.packed`.
            upstreams: The ports of the upstream addresses, by packed address.
            random: Where a seed of slots comes from.

        Raises:
            DataplaneError: There is no room for them beside those that flows have.
        """
        try:
            slots = self._write_table(VIPS, dict.fromkeys(vips, range(0)))
            slots |= self._write_table(UPSTREAMS, upstreams)
        finally:
            _note_writing(self._pins)
        _write_slots(self._pins, slots, random)

    def _write_table(self, name: str, wanted: Mapping[bytes, range]) -> dict[bytes, int]:
        """Write one table; what is in the slots of its addresses."""
        used = self._used[name]
        with closing(OwnTable(self._pins, name)) as table, self._pins.opened(name) as types:
            plan = plan_rows(table.names(), wanted, table.size, used)
            if plan is None:
                raise self._no_room(f"{table.size} {_PEOPLE[name]}")
            fields: dict[int, dict[str, bytes | int]] = {
                number: {"addr.word": address[:16], "own": CURRENT}
                for address, number in plan.items()
            }
            if name == VIPS:
                for address, number in plan.items():
                    fields[number]["port"] = address[16:]
            else:
                self._place_ports(table, {plan[each]: wanted[each] for each in plan}, fields)
            table.write({number: types.value.pack(row) for number, row in fields.items()}, used)
        with closing(OwnTable(self._pins, name)) as table:
            return {address: _TABLE[name] | number for number, address in table.names().items()}

    def _place_ports(
        self,
        table: OwnTable,
        wanted: Mapping[int, range],
        fields: Mapping[int, dict[str, bytes | int]],
    ) -> None:
        """Find places for the records of upstream ports; those of ports that flows have stay."""
        used = self._used[UPSTREAMS]
        taken = {}
        for number in table.names():
            if number in used:
                ports = table.ports(number)
                first = table.position(number, ports[0])
                taken[number] = range(first, first + len(ports))
        for number, ports in wanted.items():
            lowest, highest = ports[0], ports[-1]
            if number in taken:
                lowest, highest = table.ports(number)[0], table.ports(number)[-1]
                if not lowest <= ports[0] <= ports[-1] <= highest:
                    raise self._no_room(f"ports {lowest} to {highest} of that address")
            else:
                start = place(taken.values(), len(ports), self._records)
                if start is None:
                    raise self._no_room(f"{self._records:,} upstream ports")
                taken[number] = range(start, start + len(ports))
            fields[number] |= {
                "base": (taken[number].start - lowest) & _LOW,
                "lowest": lowest,
                "highest": highest,
                "first": ports[0],
                "last": ports[-1],
            }

    def _no_room(self, what: str) -> DataplaneError:
        return DataplaneError(
            f"The running program has room for {what}, those that flows still have included. At a "
            "quiet time, because all flows go with the program, run "
            f"`icelane relay unload --instance {self._pins.instance}` and load again."
        )


def _write_slots(pins: Instance, slots: Mapping[bytes, int], random: Random) -> None:
    """Give each address its slot; with another seed only where a new address needs one."""
    with (
        closing(MappedArray(pins.opened(_HASH))) as how,
        closing(MappedArray(pins.opened(_SLOTS))) as own,
    ):
        seed_at = how.spans["own_seed"].start // 4
        seed = find_seed(list(slots), how.words[seed_at], random)
        wanted = {slot_of(name, seed): entry for name, entry in slots.items()}
        for slot in range(own.count):
            own.words[slot * own.stride // 4] = wanted.get(slot, 0)
        how.words[seed_at] = seed


def _note_writing(pins: Instance) -> None:
    with closing(MappedArray(pins.opened(_HASH))) as how:
        writes_at = how.spans["own_writes"].start // 4
        how.words[writes_at] = (how.words[writes_at] + 1) & _LOW
