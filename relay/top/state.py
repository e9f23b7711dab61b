"""What a viewer is set to, and what each key makes of it. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from relay.admin.busiest import MOST_ROWS, SORTS
from relay.top.model import Wanted

Name = tuple[str, str, str]  # client, VIP and transport of a flow


class Page(IntEnum):
    """What is shown below the totals."""

    FLOWS = 1
    TRANSCEIVERS = 2
    DROPS = 3
    CPUS = 4


SORT_KEYS = {
    "b": "bits",
    "p": "packets",
    "t": "total",
    "i": "idle",
    "a": "age",
    "c": "client",
    "x": "transceiver",
}
#: Keys for people, and what they do.
HELP = (
    ("Up Down k j", "choose a row; PgUp PgDn Home End go further"),
    ("Enter", "open the flow: both directions, route, next hop"),
    ("Esc", "back to the list; give the filter up"),
    ("1 2 3 4 Tab", "flows, transceivers, drops, CPUs; the next page"),
    ("/", "filter as you type: 10.1, 10.1.0.0/16, 2001:db8, 192.0.2.2:5000,"),
    ("", "1/20.3 (the route), one-way, pending; several words must all fit"),
    ("b p t", "sort by bits or packets a second, by bytes in all"),
    ("i a", "sort by time without a packet, by age"),
    ("c x", "sort by client, by transceiver"),
    ("s r", "the next order; the other way round"),
    ("Space", "pause, and go on"),
    ("? q", "this help; leave"),
)


@dataclass(frozen=True, slots=True)
class State:
    """What a viewer is set to.

    Attributes:
        page: What is shown.
        sort: By what flows are sorted.
        reverse: Whether the other end comes first.
        filter: Which flows are shown.
        typing: Whether keys go into the filter.
        paused: Whether it stands still.
        row: The row that is chosen, from 0, in the whole list.
        top: The first row on the screen.
        opened: The flow that is shown alone.
        help: Whether the keys are explained.
        ended: Whether it is to end.
    """

    page: Page = Page.FLOWS
    sort: str = SORTS[0]
    reverse: bool = False
    filter: str = ""
    typing: bool = False
    paused: bool = False
    row: int = 0
    top: int = 0
    opened: Name | None = None
    help: bool = False
    ended: bool = False

    def wanted(self, height: int) -> Wanted:
        """What is to be asked for, to fill a screen with so many rows.

        Args:
            height: Rows of the list on the screen.
        """
        return Wanted(
            limit=min(MOST_ROWS, self.top + height),
            sort=self.sort,
            reverse=self.reverse,
            filter=self.filter,
            shown=self.opened,
            transceivers=self.page is Page.TRANSCEIVERS,
        )


def press(state: State, key: str, rows: Sequence[Name], height: int, count: int) -> State:
    """What a key makes of it.

    Args:
        state: What it was set to.
        key: A character, or the name of a key, as `relay.top.keys` gives it.
        rows: The flows that are on the screen's list from its first row on, by name.
        height: How many rows of the list the screen shows.
        count: How many rows the list has in all.
    """
    if state.typing:
        return _type(state, key)
    if state.help:
        return replace(state, help=False, ended=key == "q")
    if key in _ALWAYS:
        return _ALWAYS[key](state)
    if state.opened is not None:
        return replace(state, opened=None) if key in _BACK else state
    return _in_list(state, key, rows, height, count)


def _in_list(state: State, key: str, rows: Sequence[Name], height: int, count: int) -> State:
    """What a key makes of a page."""
    moves = _STEPS | {"pageup": -height, "pagedown": height, "home": -count, "end": count}
    if key in moves:
        return _move(state, moves[key], height, count)
    if key in _PAGES:
        return replace(state, page=_PAGES[key](state.page), row=0, top=0)
    return _in_flows(state, key, rows) if state.page is Page.FLOWS else state


_ALWAYS: Mapping[str, Callable[[State], State]] = {
    "q": lambda state: replace(state, ended=True),
    "?": lambda state: replace(state, help=True),
    "h": lambda state: replace(state, help=True),
    " ": lambda state: replace(state, paused=not state.paused),
}
_BACK = ("escape", "enter", "backspace", "left")
_STEPS = {"up": -1, "k": -1, "down": 1, "j": 1}
_PAGES: Mapping[str, Callable[[Page], Page]] = {
    **{str(page.value): lambda _, page=page: page for page in Page},  # type: ignore[misc]  # mypy infers no lambda with a default
    "tab": lambda page: Page(page % len(Page) + 1),
    "backtab": lambda page: Page((page - 2) % len(Page) + 1),
}


def _in_flows(state: State, key: str, rows: Sequence[Name]) -> State:
    """What a key makes of the list of flows."""
    if key == "enter":
        at = state.row - state.top
        return replace(state, opened=rows[at]) if 0 <= at < len(rows) else state
    if key == "s":
        return _sorted(state, SORTS[(SORTS.index(state.sort) + 1) % len(SORTS)])
    if key in SORT_KEYS:
        return _sorted(state, SORT_KEYS[key])
    changes: Mapping[str, dict[str, Any]] = {
        "/": {"typing": True},
        "escape": {"filter": "", "row": 0, "top": 0},
        "r": {"reverse": not state.reverse, "row": 0, "top": 0},
    }
    return replace(state, **changes.get(key, {}))


def _sorted(state: State, sort: str) -> State:
    return replace(state, sort=sort, reverse=False, row=0, top=0)


def _move(state: State, step: int, height: int, count: int) -> State:
    """Choose another row, and bring it on the screen."""
    row = max(0, min(state.row + step, min(count, MOST_ROWS) - 1))
    top = max(min(state.top, row), row - max(1, height) + 1)
    return replace(state, row=row, top=top)


def settled(state: State, height: int, count: int) -> State:
    """The same on a screen or a list that has become shorter."""
    return _move(state, 0, height, count)


def _type(state: State, key: str) -> State:
    """What a key makes of the filter."""
    if key == "enter":
        return replace(state, typing=False)
    changed = {"escape": "", "clear": "", "backspace": state.filter[:-1]}.get(key)
    if changed is None:
        changed = state.filter + (key if len(key) == 1 else "")
    return replace(state, filter=changed, typing=key != "escape", row=0, top=0)
