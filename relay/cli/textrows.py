"""A table that is printed while its rows come: the first are seen before the last are known.

A table of `rich` needs all rows to know its widths; here the first ones set them, and a later cell
that is longer pushes its line. No cell is ever broken.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import typer

from relay.cli.output import flush

_GAP = "  "


class Heading(NamedTuple):
    """The heading of a column.

    Attributes:
        name: Its text.
        right: Whether the column's cells stand at the right.
    """

    name: str
    right: bool = False


class TextRows:
    """Prints a table.

    Args:
        headings: Its columns.
    """

    def __init__(self, headings: Sequence[Heading]) -> None:
        self._headings = headings
        self._widths: list[int] | None = None

    def print(self, rows: Sequence[Sequence[str]]) -> None:
        """Print some rows, at once; before the first ones, the headings."""
        if self._widths is None:
            names = [heading.name for heading in self._headings]
            columns = zip(names, *rows, strict=True)
            self._widths = [max(map(len, cells)) for cells in columns]
            typer.echo(typer.style(self._line(names), bold=True))
        if rows:
            typer.echo("\n".join(map(self._line, rows)))
        flush()

    def _line(self, cells: Iterable[str]) -> str:
        columns = zip(cells, self._widths or (), self._headings, strict=True)
        line = _GAP.join(
            cell.rjust(width) if heading.right else cell.ljust(width)
            for cell, width, heading in columns
        )
        return line.rstrip()
