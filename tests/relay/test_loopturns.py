"""Turns of a real event loop, and of one whose clock is at hand."""

import asyncio
import time

import pytest

from relay.loopturns import BOUNDS, HUNG_AFTER, LoopTurns, TimedLoop, run, turns_of


def test_a_turn_is_counted_below_its_bound() -> None:
    now = [0.0]
    turns = LoopTurns(lambda: now[0])
    turns.end()  # the loop waits for the first time
    for seconds in (0.001, 0.015, 0.3, 9.0):
        turns.begin()
        now[0] += seconds
        turns.end()
    assert dict(zip((*BOUNDS, None), turns.counts, strict=True)) == {
        bound: int(bound in (0.001, 0.020, 0.5, None)) for bound in (*BOUNDS, None)
    }
    assert turns.total == pytest.approx(9.316)
    assert turns.as_json()["longest_ms"] == 9000.0


def test_a_turn_that_does_not_end_is_seen() -> None:
    now = [0.0]
    turns = LoopTurns(lambda: now[0])
    now[0] += 100.0
    assert turns.hangs() is None  # it waits
    turns.begin()
    now[0] += HUNG_AFTER + 1
    assert turns.hangs() == HUNG_AFTER + 1
    turns.end()
    assert turns.hangs() is None


def test_a_loop_measures_who_keeps_it_from_its_work() -> None:
    async def work() -> LoopTurns:
        turns = turns_of(asyncio.get_running_loop())
        await asyncio.sleep(0)
        time.sleep(0.06)  # noqa: ASYNC251  # that is the point
        await asyncio.sleep(0)
        return turns

    turns = run(work())
    assert turns.longest >= 0.06
    assert sum(turns.counts) >= 2


def test_another_loop_tells_nothing() -> None:
    loop = asyncio.new_event_loop()
    try:
        assert not isinstance(loop, TimedLoop)
        assert sum(turns_of(loop).counts) == 0
    finally:
        loop.close()
