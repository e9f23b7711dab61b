"""The matrix of states, docs/host-states.md: a row for each test, made of what the tests demand.

``python -m tests.hoststates.matrix`` writes it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "host-states.md"
MODULES = ("kernel", "privileges", "network", "output", "files", "leftovers", "together")
VARIABLE = "…"  # stands for what differs from one machine or run to the next

HEAD = """\
# States of a host

What `make setup`, `make demo`, `icelane up` and `icelane relay run` do in the states that a host
can be in. Each row is a test in `tests/hoststates/`, which makes the state, and fails when
something else happens or is said; `python -m tests.hoststates.matrix` writes this page from them.
In a sentence, `…` stands for what differs between machines.
"""


@dataclass(frozen=True, slots=True)
class State:
    """A state, and what is demanded of it.

    Attributes:
        name: What the host is like.
        happens: What happens.
        says: The sentence that names the remedy; empty where none is needed.
    """

    name: str
    happens: str
    says: str = ""

    def said(self, text: str) -> bool:
        """Whether a text has the sentence, however it is wrapped."""
        parts = [re.escape(part) for part in " ".join(self.says.split()).split(VARIABLE)]
        return re.search(".*?".join(parts), " ".join(text.split())) is not None

    def row(self) -> str:
        """The state in the matrix."""
        said = f"“{self.says}”" if self.says else ""
        cells = (self.name, self.happens, said)
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def state(name: str, happens: str, says: str = "") -> pytest.MarkDecorator:
    """Mark a test, or a case of one, as that of a state."""
    return pytest.mark.state(State(name, happens, says))


def document() -> str:
    """The whole page."""
    parts = [HEAD]
    for name in MODULES:
        module = import_module(f"tests.hoststates.test_{name}")
        title = (module.__doc__ or "").splitlines()[0].rstrip(".")
        rows = "\n".join(each.row() for each in states(module))
        parts.append(
            f"## {title}\n\n| state | what happens | said |\n| --- | --- | --- |\n{rows}\n"
        )
    return "\n".join(parts)


def states(module: ModuleType) -> Iterator[State]:
    """The states of a module's tests, in the order of the source."""
    for name, function in vars(module).items():
        if name.startswith("test_"):
            yield from _of_marks(getattr(function, "pytestmark", ()))


def _of_marks(marks: Any) -> Iterator[State]:
    for mark in marks:
        if mark.name == "state":
            yield mark.args[0]
        elif mark.name == "parametrize":
            for case in mark.args[1]:
                yield from _of_marks(getattr(case, "marks", ()))


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
