"""On which line of a TOML file something stands: tomllib tells values, and no lines."""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

#: Where a value stands in a document: names of tables and keys, and numbers in arrays, from 0 on.
Keys = tuple[str | int, ...]


class Places:
    """Tells where in a file something stands. It reads the file when it is asked first.

    Args:
        file: The file; None for what stands in none.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file

    def at(self, *keys: str | int) -> str:
        """``FILE:LINE`` of a key or table, or of the innermost table around what is not there."""
        if self._file is None:
            return ""
        around = (keys[:end] for end in range(len(keys), 0, -1))
        line = next((self._lines[each] for each in around if each in self._lines), None)
        return str(self._file) if line is None else f"{self._file}:{line}"

    def tell(self, problem: str, *keys: str | int) -> str:
        """A problem, behind the place that it is about."""
        return f"{self.at(*keys)}: {problem}" if self._file is not None else problem

    @cached_property
    def _lines(self) -> Mapping[Keys, int]:
        try:
            return key_lines(self._file.read_text("utf-8-sig")) if self._file else {}
        except (OSError, ValueError, RecursionError):  # it has gone, or is no TOML any more
            return {}


def key_lines(text: str) -> dict[Keys, int]:
    """The line of each key and table of a document, from 1 on. Pure.

    Raises:
        tomllib.TOMLDecodeError: It is not TOML.
    """
    found: dict[Keys, int] = {}
    counts: dict[Keys, int] = {}  # of the entries of each array of tables, less one
    table: Keys = ()
    for line, statement in _statements(text):
        parsed = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _table(parsed, counts)
            found.setdefault(table, line)
        else:
            for keys in _keys(parsed):
                found.setdefault((*table, *keys), line)
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Headers and assignments, each with its first line. One ends where it is TOML by itself."""
    first, gathered = 0, ""
    for line, content in enumerate(text.splitlines(), 1):
        if not gathered:
            first = line
            if not content.strip() or content.lstrip().startswith("#"):
                continue
        gathered += f"{content}\n"
        try:
            tomllib.loads(gathered)
        except tomllib.TOMLDecodeError:
            continue  # such as an array of several lines
        yield first, gathered
        gathered = ""
    if gathered:
        tomllib.loads(text)


def _table(header: Mapping[str, Any], counts: dict[Keys, int]) -> Keys:
    """The table that a header begins, with the number of each entry of an array that it is in."""
    keys: Keys = ()
    inner: Any = header
    while isinstance(inner, dict) and inner:
        ((name, inner),) = inner.items()
        keys = (*keys, name)
        if isinstance(inner, list):
            counts[keys] = counts.get(keys, -1) + 1
            return (*keys, counts[keys])
        if keys in counts:
            keys = (*keys, counts[keys])
    return keys


def _keys(value: Any) -> Iterator[Keys]:
    """The keys within a value."""
    pairs: Any = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    for key, inner in pairs:
        yield (key,)
        yield from ((key, *rest) for rest in _keys(inner))
