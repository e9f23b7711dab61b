"""A router whose routing daemon stands still loses its sessions, and no packet of a call."""

import time

import pytest

from tests.bench.failover.measure import RealCalls, judge, running
from tests.bench.failover.plan import CALLS, Form
from tests.lab.fleet.network import RELAYS

COUNT = 3
BFD = 50  # milliseconds


@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.e2e
@pytest.mark.alone
@pytest.mark.parametrize("dataplane", ["xdp", "userspace"])
def test_clients_go_to_all_relays_while_none_is_announced(dataplane: str) -> None:
    with running(Form(CALLS, dataplane, True, 1, COUNT, 0.0, bfd=BFD)) as (site, calls):
        assert isinstance(calls, RealCalls)
        calls.begin()
        since = time.time()
        site.stall(10 * BFD / 1000)
        site.wait_for()  # nobody is announced
        lost_all = time.time()
        site.wait_for(*RELAYS)
        while calls.silent(lost_all):
            assert time.time() < lost_all + 30.0, "some call is silent"
            time.sleep(0.05)
        gaps = judge(calls, since)
    assert (len(gaps), [gap for gap in gaps if gap.lost]) == (COUNT, [])
