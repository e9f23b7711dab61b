"""The plan of a soak."""

from itertools import islice
from random import Random

import pytest

from relay.dataplane.interface import DataplaneChoice
from tests.soak.plan import FAULTS, Fault, Step, steps


@pytest.mark.parametrize("dataplane", FAULTS)
def test_each_fault_comes_once_in_every_round(dataplane: DataplaneChoice) -> None:
    faults = FAULTS[dataplane]
    plan = list(islice(steps(Random(1), faults), 3 * len(faults)))
    for start in range(0, len(plan), len(faults)):
        assert {step.fault for step in plan[start : start + len(faults)]} == set(faults)


def test_a_seed_makes_one_plan() -> None:
    def plan(seed: int) -> list[Step]:
        return list(islice(steps(Random(seed), list(Fault)), 40))

    assert plan(7) == plan(7)
    assert plan(7) != plan(8)


def test_all_faults_are_in_some_plan() -> None:
    assert {fault for faults in FAULTS.values() for fault in faults} == set(Fault)


@pytest.mark.parametrize(("choice", "picked"), [(0.0, "a"), (0.49, "a"), (0.5, "b"), (0.999, "b")])
def test_what_a_fault_happens_to(choice: float, picked: str) -> None:
    assert Step(Fault.LINK_DOWN, 0.0, 0.0, choice).pick(["a", "b"]) == picked
