"""What each key makes of a viewer."""

from dataclasses import replace

import pytest

from relay.admin.busiest import SORTS
from relay.top.state import SORT_KEYS, Name, Page, State, press, settled

HEIGHT = 10
ROWS: list[Name] = [(f"203.0.113.{n}:1", "203.0.113.10:3478", "udp") for n in range(HEIGHT)]


def pressed(state: State, *keys: str, count: int = 100) -> State:
    for key in keys:
        state = press(state, key, ROWS, HEIGHT, count)
    return state


@pytest.mark.parametrize("key", SORT_KEYS)
def test_a_letter_sorts(key: str) -> None:
    state = pressed(State(reverse=True, row=5, top=3), key)
    assert (state.sort, state.reverse, state.row, state.top) == (SORT_KEYS[key], False, 0, 0)


def test_there_is_a_letter_for_each_order() -> None:
    assert sorted(SORT_KEYS.values()) == sorted(SORTS)


def test_the_next_order_comes_after_the_last_one_again() -> None:
    assert [pressed(State(), *["s"] * n).sort for n in range(len(SORTS) + 1)] == [*SORTS, SORTS[0]]


def test_the_order_turns_round_and_back() -> None:
    assert pressed(State(), "r").reverse
    assert not pressed(State(), "r", "r").reverse


@pytest.mark.parametrize(("key", "page"), list(zip("1234", Page, strict=True)))
def test_a_number_is_a_page(key: str, page: Page) -> None:
    assert pressed(State(), key).page is page


def test_tab_goes_through_the_pages() -> None:
    assert [pressed(State(), *["tab"] * n).page for n in range(5)] == [*Page, Page.FLOWS]
    assert pressed(State(), "backtab").page is Page.CPUS


def test_what_is_typed_is_a_filter_until_enter() -> None:
    state = pressed(State(row=3), "/", "q", "1", "2", "backspace")
    assert (state.typing, state.filter, state.row, state.ended) == (True, "q1", 0, False)
    state = pressed(state, "enter")
    assert (state.typing, state.filter) == (False, "q1")
    assert pressed(state, "escape").filter == ""


def test_escape_gives_up_what_is_typed_and_clear_empties_it() -> None:
    assert pressed(State(), "/", "x", "escape") == State()
    assert pressed(State(), "/", "x", "up", "clear", "y").filter == "y"


def test_space_pauses_and_goes_on() -> None:
    assert pressed(State(), " ").paused
    assert not pressed(State(), " ", " ").paused


def test_rows_are_chosen_within_the_list_and_the_screen_follows() -> None:
    assert pressed(State(), "up").row == 0
    state = pressed(State(), *["down"] * HEIGHT)
    assert (state.row, state.top) == (HEIGHT, 1)
    state = pressed(state, "pagedown")
    assert (state.row, state.top) == (2 * HEIGHT, HEIGHT + 1)
    assert pressed(state, "end").row == 99
    assert pressed(state, "end", "home") == State()
    assert pressed(State(), "j", "j", "k").row == 1


def test_a_shorter_list_or_screen_keeps_the_row_on_it() -> None:
    state = State(row=99, top=90)
    assert settled(state, HEIGHT, 20) == replace(state, row=19, top=19)
    assert settled(State(row=9), 5, 100).top == 5
    assert settled(State(row=3), HEIGHT, 0).row == 0


def test_enter_opens_the_chosen_flow_and_escape_closes_it() -> None:
    state = pressed(State(row=7, top=5), "enter")
    assert state.opened == ROWS[2]
    assert state.wanted(HEIGHT).shown == ROWS[2]
    assert pressed(state, "b", "2", "down") == state
    assert pressed(state, "escape") == State(row=7, top=5)


def test_enter_opens_nothing_where_no_row_is() -> None:
    assert press(State(), "enter", [], HEIGHT, 0).opened is None
    assert pressed(State(page=Page.DROPS), "enter").opened is None


@pytest.mark.parametrize("state", [State(), State(opened=ROWS[0]), State(help=True)])
def test_q_leaves(state: State) -> None:
    assert pressed(state, "q").ended


def test_any_key_closes_the_help() -> None:
    assert pressed(State(), "?").help
    assert pressed(State(), "?", "b") == State()


def test_a_screen_asks_for_the_rows_up_to_its_last() -> None:
    wanted = State(top=30, filter="10.1", sort="idle", reverse=True).wanted(HEIGHT)
    assert (wanted.limit, wanted.filter, wanted.sort, wanted.reverse) == (40, "10.1", "idle", True)
    assert not wanted.transceivers
    assert State(page=Page.TRANSCEIVERS).wanted(HEIGHT).transceivers
