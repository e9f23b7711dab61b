"""Flows that another relay has taken over, and that are served a little longer."""

from collections import Counter

import pytest

from relay.core.flowtuple import FlowTuple
from relay.mirror.leaving import GRACE, Leaving, Left
from tests.relay.conftest import ALICE, MALLORY, VIP

ONE, OTHER = (FlowTuple(client, VIP, VIP, ALICE, bytes(21)) for client in (ALICE, MALLORY))


@pytest.fixture
def sent() -> Counter[FlowTuple]:
    return Counter()


@pytest.fixture
def leaving(sent: Counter[FlowTuple]) -> Leaving:
    return Leaving(sent.__getitem__)


def test_a_flow_is_due_once_and_not_before_its_time(leaving: Leaving) -> None:
    leaving.put(ONE, 2, 10.0)
    leaving.put(OTHER, 3, 10.125)
    assert list(leaving.due(10.0 + GRACE / 2)) == []
    assert list(leaving.due(10.125 + GRACE / 2)) == []
    assert list(leaving.due(10.0 + GRACE)) == [Left(ONE, 2, is_here=False)]
    assert list(leaving.due(10.125 + GRACE)) == [Left(OTHER, 3, is_here=False)]
    assert list(leaving.due(99.0)) == []


def test_only_who_sends_in_the_second_half_is_here(
    leaving: Leaving, sent: Counter[FlowTuple]
) -> None:
    leaving.put(ONE, 2, 10.0)
    leaving.put(OTHER, 3, 10.0)
    sent[OTHER] += 1  # it was under way
    assert list(leaving.due(10.0 + GRACE / 2)) == []
    sent[ONE] += 1
    assert set(leaving.due(10.0 + GRACE)) == {
        Left(ONE, 2, is_here=True),
        Left(OTHER, 3, is_here=False),
    }
