"""The trees of errors that are drawn at the top of modules."""

import re

_LINE = re.compile(r"^([ │├└─]*)((?:[A-Z][a-z]+){2,})\b")


def drawn(documentation: str | None) -> dict[str, str | None]:
    """The names of a drawing, each with that of its parent; a root has none."""
    parents: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []  # the way to the last name: columns and names
    for line in (documentation or "").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        column, name = len(match[1]), match[2]
        above = [each for each in above if each[0] < column]
        parents[name] = above[-1][1] if above else None
        above.append((column, name))
    return parents
