"""Tables whose columns fit the screen: the less important ones give way, and no value is broken.

Pure.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.text import Text

_GAP = 2


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: Its head.
        value: The value of a row, as text.
        right: Whether it is flush right, as numbers are.
        style: How rich shows it; it is told the row.
    """

    name: str
    value: Callable[[Mapping[str, Any]], str]
    right: bool = False
    style: Callable[[Mapping[str, Any]], str] | None = None


def table(
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Any]],
    width: int,
    *,
    order: Sequence[str],
    chosen: int | None = None,
    mark: str = "",
) -> list[Text]:
    """A head and a line for each row, none of them wider than the screen.

    Args:
        columns: All columns, from left to right.
        rows: What there is.
        width: Of the screen.
        order: The names of columns by importance: the last ones are the first to be left out.
        chosen: The row that is marked.
        mark: The name of the column by which they are sorted.
    """
    cells = {each.name: [each.value(row) for row in rows] for each in columns}
    widths = {name: max(len(name), *map(len, texts), 0) for name, texts in cells.items()}
    there: list[str] = []
    # One that has nothing to say takes no room.
    order = [name for name in order if any(cells[name]) or not rows]
    left = width + _GAP
    for name in order:
        needed = widths[name] + _GAP
        if needed > left and there:
            break
        there.append(name)
        left -= needed
    shown = [each for each in columns if each.name in there]
    head = Text(no_wrap=True, overflow="ellipsis", end="")
    for at, each in enumerate(shown):
        head.append(" " * _GAP if at else "")
        head.append(
            _padded(each, each.name, widths), "bold underline" if each.name == mark else "bold"
        )
    lines = [head]
    for number, row in enumerate(rows):
        line = Text(no_wrap=True, overflow="ellipsis", end="")
        for at, each in enumerate(shown):
            line.append(" " * _GAP if at else "")
            style = each.style(row) if each.style is not None else ""
            line.append(_padded(each, cells[each.name][number], widths), style or "")
        if number == chosen:
            line.pad_right(max(0, width - line.cell_len))
            line.stylize("reverse")
        lines.append(line)
    for line in lines:
        line.truncate(width, overflow="ellipsis")  # where even one column is too wide
    return lines


def _padded(column: Column, text: str, widths: Mapping[str, int]) -> str:
    width = widths[column.name]
    return text.rjust(width) if column.right else text.ljust(width)
