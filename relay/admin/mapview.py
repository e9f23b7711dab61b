"""Entries of BPF maps for people: keys by name, counters a row each, raw bytes on request; pure."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from relay.core.rates import Rates
from relay.dataplane.kernel.btf import Layout
from relay.errors import ConfigError

_GATES = tuple(field.name for field in fields(Rates))  # in the order of enum rate_limited
#: What the keys of maps mean that are numbers, by the map's name.
KEY_NAMES: Mapping[str, Sequence[str]] = {"rate_limits": _GATES, "token_buckets": _GATES}
COUNTERS = "counters"


def entries(name: str, shown: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Entries as `PinnedMap.show` gives them, with names: for programs.

    A key or value that is a plain number is that number, and has its name beside it where it has
    one.

    Args:
        name: The map.
        shown: Its entries.
    """
    for entry in shown:
        named = {part: _plain(value) for part, value in entry.items()}
        key, names = named["key"], KEY_NAMES.get(name, ())
        if isinstance(key, int) and key < len(names):
            named = {"key": key, "name": names[key]} | named
        yield named


def rows(name: str, entries: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The same for people: a row each, and of counters a row for each reason and processor."""
    return [
        {label: str(cell) for label, cell in row.items()}
        for entry in entries
        for row in (_counters(entry) if name == COUNTERS else [_row(entry)])
    ]


def raw_entries(items: Iterable[tuple[bytes, bytes]]) -> Iterator[dict[str, str]]:
    """The bytes of entries, as bpftool writes them; of a per-CPU map those of all processors."""
    for key, value in items:
        yield {"key": key.hex(" "), "value": value.hex(" ")}


def parse_key(name: str, layout: Layout, text: str) -> bytes:
    """The key that an operator means: a number, a name, or its bytes in hex digits.

    Args:
        name: The map.
        layout: Of its keys.
        text: What was written; bytes may be apart.

    Raises:
        ConfigError: It is none of this map's.
    """
    names = KEY_NAMES.get(name, ())
    is_number = [leaf.path for leaf in layout.leaves] == [""]
    if is_number and text in names:
        return layout.number(names.index(text))
    try:
        if is_number and not text.startswith("hex:"):
            return int(text, 0).to_bytes(layout.size, sys.byteorder)
        raw = bytes.fromhex(text.removeprefix("hex:"))
    except (ValueError, OverflowError):
        raw = b""
    if len(raw) != layout.size:
        named = f"a name ({', '.join(names)}), " if names else ""
        number = "a number, " if is_number else ""
        raise ConfigError(
            f"{text!r} is no key of {name}: write {named}{number}or its {layout.size} bytes in "
            "hex digits, hex:..., as `icelane maps dump --raw` shows them"
        )
    return raw


def _plain(value: Any) -> Any:
    return value[""] if isinstance(value, Mapping) and set(value) == {""} else value


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One line of a table: the fields of the key, the processor, the fields of the value."""
    cells: dict[str, Any] = {}
    for part, value in entry.items():
        cells |= value if isinstance(value, Mapping) else {part: value}
    return cells


def _counters(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for reason, packets in entry["value"].items():
        if packets:
            yield {"reason": reason, "cpu": entry["cpu"], "packets": f"{packets:,}"}
