"""Grace periods, and what rests until one has passed."""

from collections.abc import Callable

import pytest

from relay.dataplane.kernel.grace import GracePeriod, Resting


@pytest.mark.bpf
def test_waiting_may_be_repeated_and_leaves_no_descriptor(open_files: Callable[[], int]) -> None:
    before = open_files()
    with GracePeriod.make() as grace:
        for _ in range(3):
            grace.wait()
    assert open_files() == before


def test_numbers_are_free_by_the_mark_before_the_wait() -> None:
    resting = Resting()
    assert not resting
    resting.add(7)
    mark = resting.mark
    resting.add(8)
    assert resting.free(mark) == [7]
    assert (7 in resting, 8 in resting) == (False, True)
    assert resting.free(mark) == []


def test_what_came_again_meanwhile_rests_on() -> None:
    resting = Resting()
    resting.add(7)
    mark = resting.mark
    resting.discard(7)  # in use again
    resting.add(9)
    resting.add(7)  # and out of use once more: a program may have found it in between
    assert resting.free(mark) == []
    assert resting.free(resting.mark) == [9, 7]


def test_the_same_twice_rests_from_the_second_time() -> None:
    resting = Resting()
    resting.add(7)
    mark = resting.mark
    resting.add(7)
    assert resting.free(mark) == []
