"""Which tests have to be in time: tests/run.sh lets nobody else run beside them."""

import pytest


def test_one_that_only_computes_does_not(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("realtime") is None


@pytest.mark.netns
def test_a_lab_does(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("realtime") is not None
