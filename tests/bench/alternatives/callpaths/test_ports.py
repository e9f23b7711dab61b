"""Calls that have a port each."""

import pytest

from tests.bench.alternatives.callpaths.incalls import InCalls
from tests.bench.alternatives.callpaths.ports import PortPath

PORTS = PortPath("a port per session", direct=True)


@pytest.mark.e2e
def test_each_call_opens_a_port() -> None:
    figures = {each.metric: each.value for each in InCalls(PORTS, calls=2, seconds=1.0).measure()}
    assert figures["sockets_per_call"] == 1
    assert figures["both_ways_us"] > 0
