"""Beside others, a test that only computes is nicer than one that has to do with clocks."""

import os

import pytest

from tests.conftest import PATIENT


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def beside_others(request: pytest.FixtureRequest) -> bool:
    return hasattr(request.config, "workerinput") and os.geteuid() == 0


def test_one_that_computes_lets_others_go_first(request: pytest.FixtureRequest) -> None:
    assert (niceness() == PATIENT) == beside_others(request)


async def test_one_that_waits_does_not() -> None:
    assert niceness() != PATIENT


@pytest.mark.netns
def test_nor_does_a_lab(request: pytest.FixtureRequest) -> None:
    assert niceness() != PATIENT
    assert request.node.get_closest_marker("realtime") is not None
