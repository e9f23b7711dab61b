"""A fourth relay joins three, and leaves again: no packet comes to anybody else's end."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.failover.flows import Flows
from tests.lab.fleet.network import relays
from tests.lab.fleet.site import Settings, Site

pytestmark = [pytest.mark.netns, pytest.mark.bpf, pytest.mark.alone]

*THREE, SPARE = FOUR = relays(4)
COUNT, RATE = 60, 10.0
LIMIT = 20.0  # seconds


@pytest.fixture(params=["xdp"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    name = f"resize-{os.getpid()}"
    settings = Settings(name, request.param, relays=len(FOUR))
    with Site(settings, tmp_path / name) as site:
        site.drain(SPARE)
        site.wait_for(*THREE)
        yield site


def all_are_heard(flows: Flows) -> None:
    since, deadline = time.time(), time.monotonic() + LIMIT
    while flows.silent(since):
        flows.check()
        assert time.monotonic() < deadline, "some flows are not heard any more"
        time.sleep(0.1)


def moved(flows: Flows, since: float) -> int:
    """How many flows have come to another relay; none has lost a packet on the way there."""
    until = time.time()
    all_are_heard(flows)  # and so whatever was sent before has come, too
    gaps = flows.gaps(since, until)
    assert [gap.lost for gap in gaps if gap.lost] == []
    return sum(gap.before != gap.after for gap in gaps)


def test_three_relays_become_four_and_three_again(site: Site) -> None:
    with Flows(site, COUNT, RATE) as flows:
        all_are_heard(flows)
        for step, there in ((site.undrain, FOUR), (site.drain, THREE)):
            flows.mark()
            since = time.time()
            step(SPARE)
            site.wait_for(*there)
            all_are_heard(flows)  # by way of the new routes
            assert moved(flows, since) > 0
    assert flows.misdelivered == 0
