"""What a listing of flows shows: columns by name, as text, and as what is sorted by; pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from relay.admin.flowentry import FlowEntry
from relay.errors import ConfigError
from relay.wire.route import decode

Key = Any  # numbers, texts or bytes: one kind in each column


class Rates(NamedTuple):
    """What passed of a flow in a second, to the transceiver and to the client.

    Attributes:
        packets: Packets.
        bits: Bits of UDP payload.
    """

    packets: tuple[float, float] = (0.0, 0.0)
    bits: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def between(cls, before: FlowEntry, after: FlowEntry, seconds: float) -> "Rates":
        """The rates between two looks at a flow. One that was counted anew has none."""
        if seconds <= 0:
            return cls()
        packets = _difference(before.packets, after.packets)
        octets = _difference(before.bytes, after.bytes)
        return cls(
            (packets[0] / seconds, packets[1] / seconds),
            (8 * octets[0] / seconds, 8 * octets[1] / seconds),
        )

    @property
    def both(self) -> float:
        """Packets in both directions."""
        return self.packets[0] + self.packets[1]


class Row(NamedTuple):
    """A flow at the moment at which it was looked at.

    Attributes:
        entry: The flow.
        now: When, in seconds of the monotonic clock.
        rates: What passed since the look before; None where there was none.
    """

    entry: FlowEntry
    now: float
    rates: Rates | None = None


class Column(NamedTuple):
    """A column.

    Attributes:
        text: What it shows.
        key: What is sorted by; -1 where there is nothing.
        right: Whether it stands at the right, as numbers do.
        is_rate: Whether it needs two looks.
    """

    text: Callable[[Row], str]
    key: Callable[[Row], Key]
    right: bool = False
    is_rate: bool = False


def _count(of: Callable[[FlowEntry], int]) -> Column:
    return Column(lambda row: f"{of(row.entry):,}", lambda row: of(row.entry), right=True)


def _rate(of: Callable[[Rates], float]) -> Column:
    return Column(
        lambda row: f"{of(row.rates):,.0f}" if row.rates else "-",
        lambda row: of(row.rates) if row.rates else -1.0,
        right=True,
        is_rate=True,
    )


def _seconds(of: Callable[[Row], float | None]) -> Column:
    def text(row: Row) -> str:
        seconds = of(row)
        return "-" if seconds is None else f"{seconds:,.1f}"

    def key(row: Row) -> float:
        seconds = of(row)
        return -1.0 if seconds is None else seconds

    return Column(text, key, right=True)


def _text(of: Callable[[FlowEntry], str]) -> Column:
    return Column(lambda row: of(row.entry), lambda row: of(row.entry))


def _kernel_share(entry: FlowEntry) -> float:
    total = sum(entry.packets)
    kernel = entry.kernel_in.packets + entry.kernel_out.packets
    return 100 * kernel / total if total else -1.0


def _alone(row: Row) -> str:
    return row.entry.one_way(row.now) or "-"


#: All columns by name. Addresses are sorted by as numbers.
COLUMNS: Mapping[str, Column] = {
    "id": _text(lambda entry: entry.id),
    "client": Column(
        lambda row: str(row.entry.addresses.client), lambda row: row.entry.addresses.packed_client
    ),
    "transport": _text(lambda entry: entry.addresses.transport.value),
    "vip": Column(
        lambda row: str(row.entry.addresses.vip), lambda row: row.entry.addresses.packed_vip
    ),
    "upstream": Column(
        lambda row: str(row.entry.addresses.upstream),
        lambda row: row.entry.addresses.packed_upstream,
    ),
    "transceiver": Column(
        lambda row: str(row.entry.addresses.transceiver),
        lambda row: row.entry.addresses.packed_transceiver,
    ),
    "target": Column(
        lambda row: str(decode(row.entry.addresses.route).target),
        lambda row: row.entry.addresses.packed_target,
    ),
    "ufrag": _text(lambda entry: decode(entry.addresses.route).ufrag),
    "state": _text(lambda entry: entry.stage),
    "one-way": Column(_alone, _alone),
    "in": _count(lambda entry: entry.packets[0]),
    "out": _count(lambda entry: entry.packets[1]),
    "bytes-in": _count(lambda entry: entry.bytes[0]),
    "bytes-out": _count(lambda entry: entry.bytes[1]),
    "kernel": Column(
        lambda row: f"{share:.1f}%" if (share := _kernel_share(row.entry)) >= 0 else "-",
        lambda row: _kernel_share(row.entry),
        right=True,
    ),
    "rate": _rate(lambda rates: rates.both),
    "rate-in": _rate(lambda rates: rates.packets[0]),
    "rate-out": _rate(lambda rates: rates.packets[1]),
    "bits-in": _rate(lambda rates: rates.bits[0]),
    "bits-out": _rate(lambda rates: rates.bits[1]),
    "idle": _seconds(lambda row: row.entry.idle(row.now)),
    "age": _seconds(lambda row: row.entry.age(row.now)),
}
#: What a listing has: it fits into 80 columns for IPv4.
USUAL = ("client", "transceiver", "state", "in", "out", "idle")
#: And where there is room.
WIDE = (
    *("id", "client", "transport", "vip", "upstream", "transceiver", "target", "state", "one-way"),
    *("in", "out", "bytes-in", "bytes-out", "kernel", "age", "idle"),
)


def parse_columns(text: str) -> tuple[str, ...]:
    """The names in ``a,b,c``.

    Raises:
        ConfigError: One is none, or there is none.
    """
    names = tuple(name for part in text.split(",") if (name := part.strip()))
    problems = [_no_column("--columns", name) for name in names if name not in COLUMNS]
    if problems or not names:
        raise ConfigError(*(problems or ["--columns names no column"]))
    return names


class Order(NamedTuple):
    """By what rows are sorted.

    Attributes:
        column: The column.
        descending: Whether the largest come first.
    """

    column: str
    descending: bool

    @classmethod
    def parse(cls, text: str) -> "Order":
        """Read ``COLUMN``, or ``-COLUMN`` for the largest first, as ps(1) has it.

        Raises:
            ConfigError: There is no such column.
        """
        name = text.removeprefix("-").removeprefix("+")
        if name not in COLUMNS:
            raise ConfigError(_no_column("--sort", name))
        return cls(name, text.startswith("-"))

    def sorted(self, rows: Iterable[Row]) -> list[Row]:
        """The rows in order; equal ones stay as they are."""
        return sorted(rows, key=COLUMNS[self.column].key, reverse=self.descending)


def need_rates(names: Sequence[str]) -> bool:
    """Whether one of these columns needs two looks."""
    return any(COLUMNS[name].is_rate for name in names)


def row_as_json(row: Row) -> dict[str, Any]:
    """A row for programs: the flow with its id, age and direction, and rates where there are."""
    entry = row.entry
    shown = {"id": entry.id} | entry.as_json(row.now)
    shown |= {"age_seconds": entry.age(row.now), "one_way": entry.one_way(row.now)}
    if row.rates is not None:
        for at, name in enumerate(("to_transceiver", "to_client")):
            shown[name] |= {
                "packet_rate": round(row.rates.packets[at], 1),
                "bit_rate": round(row.rates.bits[at]),
            }
    return shown


def _difference(before: tuple[int, int], after: tuple[int, int]) -> tuple[int, int]:
    return max(0, after[0] - before[0]), max(0, after[1] - before[1])


def _no_column(option: str, name: str) -> str:
    near = get_close_matches(name, COLUMNS, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{option}: there is no column {name!r}: {meant}known are {', '.join(COLUMNS)}"
