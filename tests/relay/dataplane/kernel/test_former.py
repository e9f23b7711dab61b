"""What an earlier version's hashes hold, in today's table."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.flowrecord import Activity, FlowRecord
from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.config import LoadConfig, Outcome
from relay.dataplane.kernel.former import FormerFlows
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.xdp import XdpDataplane
from relay.errors import DataplaneError
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.lab.former_layout import run_former_program, write_former_flows
from tests.relay.dataplane.loading import (
    FLOW,
    ROUTE,
    SEEN_WITHIN,
    VIP6,
    flow,
    load,
    program_of,
)

pytestmark = pytest.mark.bpf

WIDE = FlowTuple(
    Endpoint("2001:db8:9::7", 1),
    VIP6,
    Endpoint("192.0.2.1", 20007),
    Endpoint("192.0.2.2", 5000),
    ROUTE,
)
ELSEWHERE = flow(9)._replace(upstream=Endpoint("192.0.2.1", 9))


@pytest.fixture
def former(running: LoadConfig) -> Iterator[LoadConfig]:
    """An instance that runs the earlier version's program, with a flow."""
    run_former_program(Pins(running.instance))
    yield running
    xdp.unload(running.instance)


def counted(packets: int) -> Activity:
    last_seen: Any = pytest.approx(5.0, abs=SEEN_WITHIN)
    return Activity(packets, 10 * packets, last_seen)


def test_flows_move_with_what_they_have_counted(host: Host, former: LoadConfig) -> None:
    pins = Pins(former.instance)
    assert FormerFlows(pins).are_there()
    there = [
        FlowRecord(
            each, Activity(packets, 10 * packets, 5.0), Activity(2 * packets, 20 * packets, 5.0)
        )
        for each, packets in ((flow(2), 3), (WIDE, 4), (ELSEWHERE, 5))
    ]
    write_former_flows(pins, there)
    report = load(host, former)
    assert report.outcome is Outcome.REPLACED
    (warning,) = report.warnings
    assert warning.startswith("1 flows of the earlier version were not taken over. The upstream")
    with closing(XdpDataplane(former.instance)) as dataplane:
        assert {each.flow: each for each in dataplane.flows()} == {
            FLOW: FlowRecord(FLOW),
            flow(2): FlowRecord(flow(2), counted(3), counted(6)),
            WIDE: FlowRecord(WIDE, counted(4), counted(8)),
        }
    assert not FormerFlows(pins).are_there()
    assert not {"flows", "flows4", "vips", "upstreams"} & set(pins.maps())
    assert load(host, former).outcome is Outcome.KEPT


def test_a_version_before_that_is_refused_in_words(host: Host, former: LoadConfig) -> None:
    pins = Pins(former.instance)
    pins.map("flows4").unlink()
    with bpfsys.pinned(pins.map("route_keys")) as other:
        bpfsys.obj_pin(other, pins.map("flows4"))
    before = program_of(former, "a"), pins.maps()
    with pytest.raises(DataplaneError, match=r"of an unknown version.*icelane relay unload"):
        load(host, former)
    assert (program_of(former, "a"), pins.maps()) == before
