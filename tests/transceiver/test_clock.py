"""The clock's turns, on an event loop whose time is the test's."""

import asyncio
import heapq
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from relay.wire.endpoint import Endpoint
from transceiver.clock import BATCH, CATCH_UP, PERIOD, PHASES, Clock, Datagram

NOWHERE = Endpoint("192.0.2.1", 9)


class Time:
    """An event loop with timers only."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._cancelled: set[int] = set()
        self._number = 0

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, callback))
        return Handle(self._cancelled, self._number)

    def advance(self, seconds: float) -> None:
        """Let time pass, and each timer ring when it is due."""
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            when, number, callback = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            if number not in self._cancelled:
                callback()
        self.now = max(self.now, end)

    @property
    def waiting(self) -> int:
        return sum(number not in self._cancelled for _, number, _ in self._timers)


class Handle:
    def __init__(self, cancelled: set[int], number: int) -> None:
        self._cancelled, self._number = cancelled, number

    def cancel(self) -> None:
        self._cancelled.add(self._number)


class Member:
    """Has turns, and may do something in them."""

    def __init__(self, time: Time, act: Callable[[], None] = lambda: None) -> None:
        self.turns: list[float] = []
        self.broke: list[Exception] = []
        self._time, self._act = time, act

    def tick(self, now: float, out: list[Datagram]) -> None:
        assert now == self._time.now
        self.turns.append(now)
        self._act()
        out.append((b"frame", NOWHERE))

    def tick_broke(self, error: Exception) -> None:
        self.broke.append(error)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    monkeypatch.setattr("transceiver.clock.time.monotonic", lambda: made.now)
    return made


@pytest.fixture
def sent() -> list[Sequence[Datagram]]:
    return []


@pytest.fixture
def clock(time: Time, sent: list[Sequence[Datagram]]) -> Clock:
    assert time.now
    return Clock(sent.append, lambda *_: None)


def test_a_member_has_a_turn_every_20_ms_without_drift(time: Time, clock: Clock) -> None:
    member = Member(time)
    clock.join(member)
    clock.join(member)  # again is fine
    time.advance(100.0)
    assert len(member.turns) in (5000, 5001)
    gaps = {round(b - a, 6) for a, b in zip(member.turns, member.turns[1:], strict=False)}
    assert gaps == {PERIOD}


def test_members_are_spread_over_the_phases(
    time: Time, clock: Clock, sent: list[Sequence[Datagram]]
) -> None:
    for _ in range(2 * PHASES):
        clock.join(Member(time))
    time.advance(PERIOD * 1.01)
    assert [len(batch) for batch in sent[:PHASES]] == [2] * PHASES


def test_a_batch_ends_with_one_call(
    time: Time, clock: Clock, sent: list[Sequence[Datagram]]
) -> None:
    for _ in range((BATCH + 3) * PHASES):
        clock.join(Member(time))
    time.advance(PERIOD * 1.01)
    assert [len(batch) for batch in sent[:2]] == [BATCH, 3]
    assert clock.lateness.count >= (BATCH + 3) * PHASES


def test_who_leaves_has_no_turn_more_and_the_last_one_stops_the_timer(
    time: Time, clock: Clock
) -> None:
    first, second = Member(time), Member(time)
    clock.join(first)
    clock.join(second)
    time.advance(PERIOD)
    clock.leave(first)
    clock.leave(first)  # again is fine
    turns = len(first.turns)
    time.advance(PERIOD)
    assert len(first.turns) == turns
    assert time.waiting == 1
    clock.leave(second)
    assert time.waiting == 0
    clock.join(first)
    time.advance(PERIOD)
    assert len(first.turns) > turns


def test_a_member_that_raises_harms_nobody(time: Time, clock: Clock) -> None:
    def breaks() -> None:
        raise ZeroDivisionError

    members = [Member(time, breaks), *(Member(time) for _ in range(2 * PHASES - 1))]
    for member in members:
        clock.join(member)
    time.advance(10 * PERIOD)
    assert {len(member.turns) for member in members} <= {10, 11}
    assert len(members[0].broke) == len(members[0].turns)
    assert not any(member.broke for member in members[1:])


def test_a_member_may_leave_in_its_turn(time: Time, clock: Clock) -> None:
    member = Member(time, lambda: clock.leave(member))
    clock.join(member)
    time.advance(10 * PERIOD)
    assert len(member.turns) == 1
    assert time.waiting == 0


@pytest.mark.parametrize("stood", [3, CATCH_UP + 7])
def test_what_the_process_missed_is_caught_up_to_a_bound(
    time: Time, clock: Clock, stood: int
) -> None:
    member = Member(time)
    clock.join(member)
    time.advance(PERIOD / 2)
    turns = len(member.turns)
    time.now += stood * PERIOD  # as if nothing had run
    time.advance(PERIOD / 4)
    caught_up = len(member.turns) - turns
    assert caught_up + clock.skipped in (stood, stood + 1)  # turns that were due
    assert caught_up <= CATCH_UP + 1
    assert (clock.skipped > 0) is (stood > CATCH_UP + 1)


def test_after_the_end_there_are_no_turns(time: Time, clock: Clock) -> None:
    member = Member(time)
    clock.join(member)
    clock.close()
    time.advance(1.0)
    assert member.turns == []


def test_lateness_is_what_it_took_until_all_was_sent(time: Time) -> None:
    served: list[tuple[float, float]] = []

    def send(_: Sequence[Datagram]) -> None:
        time.now += 0.004

    clock = Clock(send, lambda late, now: served.append((late, now)))
    clock.join(Member(time))
    time.advance(PERIOD)
    assert clock.lateness.quantile(1.0) in (0.004, 0.005)
    assert {round(late, 6) for late, _ in served} == {0.004}
    assert served[-1][1] <= time.now
