"""The table: a row for each figure, a column for each design, and why a cell is empty. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.compare.report.results import Key, Results


@dataclass(frozen=True, slots=True)
class Column:
    """A design.

    Attributes:
        title: Its name.
        systems: What is measured for it, by the names that results have.
    """

    title: str
    systems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A figure.

    Attributes:
        title: What it is, with its unit; `{calls}` and the like stand for parameters.
        benchmark: The benchmark that gives it.
        metric: The metric of that.
        digits: Digits after the decimal point.
        parameters: Those that tell it from other figures of that metric.
    """

    title: str
    benchmark: str
    metric: str
    digits: int = 0
    parameters: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of a design.

    Attributes:
        row: Which figure.
        column: Of which design.
        values: One by round; none where it was not measured.
        reason: Why not.
    """

    row: str
    column: str
    values: tuple[float, ...]
    reason: str | None

    def dump(self) -> dict[str, Any]:
        """The cell as plain data."""
        return {
            "figure": self.row,
            "design": self.column,
            "values": list(self.values),
            "not_measured": self.reason,
        }


COLUMNS = (
    Column("Icelane, XDP", ("icelane xdp",)),
    Column("Icelane, userspace", ("icelane userspace",)),
    Column("TURN (coturn)", ("coturn",)),
    Column("a port per session", ("a port per session",)),
    Column("SFU (Janus)", ("janus",)),
    Column("one service", ("one service", "direct")),
)

ROWS = (
    Row("round trips until the first sound", "call_setup", "round_trips", 1),
    Row("ms until the first sound", "call_setup", "first_audio_ms", 0, (("round_trip_ms", 0),)),
    Row(
        "the same, where a round trip takes 50 ms more",
        *("call_setup", "first_audio_ms", 0, (("round_trip_ms", 50),)),
    ),
    Row("µs of a packet there and back, {calls} calls", "in_calls", "both_ways_us"),
    Row("the same, p99", "in_calls", "both_ways_p99_us"),
    Row("µs of its own processor time a packet, {calls} calls", "in_calls", "us_per_packet", 1),
    Row("the same in % of a core for a call", "in_calls", "percent_per_call", 2),
    Row("ns of all processors a packet, 100,000 packets a second", "cpu", "ns_per_packet"),
    Row("killed and started: % of {calls} calls that go on", "restart", "alive_percent"),
    Row("packets of each of those that got lost", "restart", "lost"),
    Row("the longest pause that one of those had, ms", "restart", "pause_ms"),
    Row("ms until new calls are taken", "restart", "back_ms"),
    Row("UDP sockets of a call", "in_calls", "sockets_per_call"),
    Row("UDP sockets, {sessions} sessions", "sockets", "sockets"),
    Row("of those, public ports", "sockets", "public_ports"),
    Row("entries of a firewall that opens what is in use", "firewall", "entries"),
    Row("ms to change it for a call", "firewall", "add_ms", 1),
    Row("bytes a session in processes, {flows} sessions", "memory", "process_bytes"),
    Row("bytes a session in the kernel", "memory", "kernel_bytes"),
    Row("ms from the command until the last of {sessions} sessions is served", "back", "ms"),
)

_NOTHING_BETWEEN = "nothing stands between client and session"
_TERMINATES = "each of its sessions is two DTLS connections, of which clients here make too few"
_REASONS = {
    **{
        ("in_calls", metric, title): _NOTHING_BETWEEN
        for metric in ("us_per_packet", "percent_per_call")
        for title in ("a port per session", "one service")
    },
    ("cpu", "", "one service"): "this traffic is what is subtracted from the others'",
    ("cpu", "", "SFU (Janus)"): "the sender of these packets has no SRTP, which an SFU decrypts",
    ("cpu", "", "a port per session"): _NOTHING_BETWEEN,
    ("sockets", "", "SFU (Janus)"): _TERMINATES,
    ("firewall", "", "SFU (Janus)"): "as with a port per session: Janus opens one for each",
    ("memory", "", "SFU (Janus)"): _TERMINATES,
    ("back", "", "SFU (Janus)"): "its sessions end with it",
    ("back", "", "TURN (coturn)"): "its allocations end with it",
    ("restart", "lost", ""): "no call goes on",
    ("restart", "pause_ms", ""): "no call goes on",
    ("firewall", "add_ms", ""): "the port stays the same",
}


def cells(results: Results) -> Iterator[Cell]:
    """All cells, row by row."""
    for row in ROWS:
        keys = [key for key in results.figures if _is_of(row, key)]
        title = row.title.format_map(_shown(keys))
        for column in COLUMNS:
            found = [key for key in keys if key.system in column.systems]
            values = tuple(value for key in found for value in results.values(key))
            yield Cell(
                title, column.title, values, None if values else _reason(row, column, results)
            )


def _is_of(row: Row, key: Key) -> bool:
    return (key.benchmark, key.metric) == (row.benchmark, row.metric) and set(
        row.parameters
    ) <= set(key.parameters)


def _shown(keys: Sequence[Key]) -> dict[str, str]:
    """What stands for parameters in a title; where nothing was measured, words."""
    unknown = dict.fromkeys(("calls", "sessions", "flows"), "many")
    known = {
        name: f"{value:,}" for key in keys for name, value in key.parameters if name in unknown
    }
    return unknown | known


def _reason(row: Row, column: Column, results: Results) -> str:
    for system in column.systems:
        if system in results.left_out:
            return results.left_out[system]
        for failure in results.failures:
            if failure.startswith(f"{system}, {row.benchmark}:"):
                return failure
    for metric, title in ((row.metric, column.title), ("", column.title), (row.metric, "")):
        if reason := _REASONS.get((row.benchmark, metric, title)):
            return reason
    return "not measured in this run"
