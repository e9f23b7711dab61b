"""Who has a place, in simulated time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transceiver.admission import Admission, Place, Stage
from transceiver.backlog import CALM, INTERVAL, LATE, Backlog
from transceiver.errors import FullError, ShareTakenError


class Call:
    """A call that takes a place."""

    def __init__(self, admission: Admission, client: str | None, now: float) -> None:
        self.ended: list[str] = []
        self.place = admission.take(client, now)
        self.place.belongs_to(self._end)

    def _end(self, reason: str) -> None:
        self.ended.append(reason)
        self.place.release()


def test_a_place_that_is_given_back_is_free_at_once() -> None:
    admission = Admission(2, Backlog())
    calls = [Call(admission, None, 0.0) for _ in range(2)]
    with pytest.raises(FullError, match="all 2 sessions"):
        admission.take(None, 0.0)
    calls[0].place.release()
    calls[0].place.release()
    assert admission.taken(0.0) == 1
    admission.take(None, 0.0)


def test_who_stops_takes_nobody() -> None:
    admission = Admission(2, Backlog())
    admission.draining = True
    with pytest.raises(FullError, match="stopping"):
        admission.take(None, 0.0)


def test_who_is_behind_takes_nobody_until_it_has_caught_up() -> None:
    backlog = Backlog()
    admission = Admission(2, backlog)
    for now in (0.0, INTERVAL):
        assert admission.closed(now) is None
        backlog.note(LATE, 64, now)
    with pytest.raises(FullError, match="behind"):
        admission.take(None, INTERVAL)
    assert admission.taken(INTERVAL) == 0
    admission.take(None, INTERVAL + CALM)


def test_a_call_without_a_check_ends_early_and_one_without_a_handshake_later() -> None:
    place = Admission(1, Backlog()).take(None, 5.0)
    assert place.overdue(14.9) is None
    assert place.overdue(15.0) == "no check came within 10 s"
    place.stage = Stage.CHECKED
    assert place.overdue(34.9) is None
    assert place.overdue(35.0) == "not connected within 30 s"
    place.stage = Stage.CONNECTED
    assert place.overdue(1e9) is None


def test_a_call_that_is_late_makes_room_and_the_latest_does_so_first() -> None:
    admission = Admission(3, Backlog())
    connected, checked, offered = (Call(admission, None, now) for now in (0.0, 0.5, 1.0))
    connected.place.stage, checked.place.stage = Stage.CONNECTED, Stage.CHECKED
    with pytest.raises(FullError):
        admission.take(None, 2.9)
    assert (admission.taken(2.9), admission.taken(3.0)) == (3, 2)
    Call(admission, None, 3.0)
    assert offered.ended == ["its place went to another call, as it was not connected"]
    with pytest.raises(FullError):
        admission.take(None, 4.9)
    Call(admission, None, 10.5)
    assert not connected.ended
    assert len(admission._places) == 3


def test_one_client_takes_a_quarter_until_his_calls_are_connected() -> None:
    admission = Admission(40, Backlog())
    calls = [Call(admission, "a", 0.0) for _ in range(10)]
    with pytest.raises(ShareTakenError, match="10 calls of this client"):
        admission.take("a", 1.9)
    Call(admission, "b", 1.9)
    calls[3].place.stage = Stage.CONNECTED
    Call(admission, "a", 1.9)
    Call(admission, "a", 2.0)  # now others of his are late
    assert [len(call.ended) for call in calls].count(1) == 1


def test_calls_without_a_client_have_nothing_in_common() -> None:
    admission = Admission(40, Backlog())
    for _ in range(40):
        admission.take(None, 0.0)


def test_eight_calls_of_a_client_are_taken_in_any_case() -> None:
    admission = Admission(16, Backlog())
    for _ in range(8):
        admission.take("a", 0.0)
    with pytest.raises(ShareTakenError):
        admission.take("a", 0.0)


@given(
    st.integers(1, 12),
    st.lists(
        st.tuples(
            st.sampled_from(["offer", "check", "connect", "end"]),
            st.sampled_from("abc"),
            st.floats(0, 3),
            st.integers(0, 30),
        )
    ),
)
def test_there_are_never_more_calls_than_places_and_no_connected_one_is_ended(
    capacity: int, steps: list[tuple[str, str, float, int]]
) -> None:
    admission, calls, now = Admission(capacity, Backlog()), list[Call](), 0.0
    for step, client, pause, index in steps:
        now += pause
        if step == "offer":
            try:
                calls.append(Call(admission, client, now))
            except FullError:
                assert admission.taken(now) > 0
        elif calls:
            call = calls[index % len(calls)]
            stage = {"check": Stage.CHECKED, "connect": Stage.CONNECTED}.get(step)
            if stage is None:
                call.place.release()
            elif call.place.stage is not Stage.ENDED:
                call.place.stage = stage
        alive = [call for call in calls if call.place.stage is not Stage.ENDED]
        assert len(admission._places) == len(alive) <= capacity
        assert 0 <= admission.taken(now) <= len(alive)
        assert not any(call.ended for call in alive)


def test_a_place_can_be_withdrawn_before_there_is_a_call() -> None:
    admission = Admission(1, Backlog())
    first: Place = admission.take(None, 0.0)
    admission.take(None, 5.0)
    assert first.stage is Stage.ENDED


def test_places_count_for_their_principals_while_they_are_taken() -> None:
    admission = Admission(10, Backlog())
    places = [admission.take(None, 0.0, name) for name in ("alice", "alice", "bob", None)]
    assert admission.taken_by(0.0) == {"alice": 2, "bob": 1}
    places[0].stage = Stage.CONNECTED
    assert admission.taken_by(5.0) == {"alice": 1}  # the others are late, and others may have them
    places[0].release()
    assert admission.taken_by(5.0) == {}
