"""What is measured, and how long that takes."""

import shlex
from dataclasses import replace

import pytest

from tests.bench.failover.plan import (
    CALLS,
    DATAPLANES,
    FLOWS,
    Countdown,
    Form,
    Scale,
    command,
    forms,
)

SCALE = Scale(20, 3, 20, 1000, 10.0)


def test_all_of_it_is_measured_with_and_without_a_mirror() -> None:
    found = list(forms(SCALE, DATAPLANES))
    assert len(found) == len(set(map(str, found))) == 8
    assert {each.times for each in found if each.mirror} == {20}
    assert {each.times for each in found if not each.mirror} == {3}
    assert found[0] == Form(CALLS, "xdp", True, 20, 20, 10.0)


@pytest.mark.parametrize(
    ("scale", "left"),
    [
        (replace(SCALE, without_mirror=0), {(CALLS, True), (FLOWS, True)}),
        (replace(SCALE, times=0), {(CALLS, False), (FLOWS, False)}),
        (replace(SCALE, flows=0), {(CALLS, True), (CALLS, False)}),
        (replace(SCALE, calls=0, times=0), {(FLOWS, False)}),
    ],
)
def test_what_is_none_is_left_out(scale: Scale, left: set[tuple[str, bool]]) -> None:
    assert {(each.traffic, each.mirror) for each in forms(scale, ["xdp"])} == left


def test_the_command_measures_the_same_again() -> None:
    told = shlex.split(command(replace(SCALE, flows=0, bfd=50), ["xdp"], ["machine dies"]))
    assert told[:4] == ["python", "-m", "tests.bench", "failover"]
    assert told[4:] == [
        *("--times", "20", "--without-mirror", "3", "--calls", "20", "--flows", "0"),
        *("--bfd", "50", "--dataplane", "xdp", "--what", "machine dies"),
    ]
    assert "--dataplane" not in command(SCALE, DATAPLANES, [])


def test_what_is_left_is_told_by_the_pace_so_far() -> None:
    countdown = Countdown(1200.0, now=50.0)
    assert countdown.minutes_left(now=50.0) == 20
    countdown.done(600.0)
    assert countdown.minutes_left(now=50.0 + 900.0) == 15  # slower than expected
    countdown.done(600.0)
    assert countdown.minutes_left(now=50.0 + 1800.0) == 1
