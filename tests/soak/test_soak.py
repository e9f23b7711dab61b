"""A short soak with each dataplane; `make soak` takes longer."""

import os

import pytest

from relay.dataplane.interface import DataplaneChoice
from tests.soak.plan import FAULTS
from tests.soak.soak import Settings, run

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

SECONDS = 30.0
SEED = 20261126
CALLS = 100


@pytest.mark.parametrize("dataplane", FAULTS)
def test_nothing_is_lost_and_nothing_is_left(dataplane: DataplaneChoice) -> None:
    name = f"soak-{os.getpid()}"
    outcome = run(Settings(dataplane, SECONDS, SEED, CALLS, name=name), print)
    assert outcome.problems == []
    assert outcome.account.sent > CALLS * SECONDS
    assert sum(outcome.faults.values()) > 5
