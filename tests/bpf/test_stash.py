"""Flows whose two buckets are full: the program forwards them by the stash."""

from itertools import islice
from typing import TYPE_CHECKING

import pytest

from relay.core.flowtuple import FlowTuple
from relay.dataplane.kernel.flowindex import BUCKET_ENTRIES, FlowIndex, buckets_for, hash_tuple
from relay.dataplane.kernel.flowtable import read_hash
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.xdp import XdpDataplane
from relay.wire.endpoint import Endpoint

if TYPE_CHECKING:
    from tests.bpf.conftest import Bench

pytestmark = pytest.mark.bpf

RTP = bytes([0x80, 111]) + bytes(20)
IN_BUCKETS = 2 * BUCKET_ENTRIES
STASHED = 5


def crowd(bench: "Bench", host: str, vip: Endpoint, upstream: Endpoint) -> list[FlowTuple]:
    """Flows of which all have the same two buckets, more than fit into them."""
    pins = Pins(bench.instance)
    seed, room = read_hash(pins)
    index = FlowIndex(memoryview(bytearray(8)).cast("Q"), buckets_for(room), lambda _: 0)
    transceiver = bench.transceiver6 if ":" in host else bench.transceiver
    clients = (Endpoint(host, port) for port in range(1024, 60_000))
    homes = (
        (set(index._starts(hash_tuple(seed, each.packed, vip.packed))), each) for each in clients
    )
    home = next(home for home, _ in homes if len(home) > 1)
    at_home = (client for buckets, client in homes if buckets == home)
    return [
        FlowTuple(
            client,
            vip,
            upstream._replace(port=upstream.port + number),
            transceiver,
            bench.route().raw,
        )
        for number, client in enumerate(islice(at_home, IN_BUCKETS + STASHED))
    ]


def is_forwarded(bench: "Bench", flow: FlowTuple) -> bool:
    """Whether packets of a flow, and none of another, are forwarded both ways."""
    there = bench.run(bench.from_client(RTP, client=flow.client, to=flow.vip))
    back = bench.run(
        bench.from_transceiver(RTP, transceiver=flow.transceiver, to=flow.upstream), "internal"
    )
    wanted = (
        bench.to_transceiver(RTP, upstream=flow.upstream, to=flow.transceiver),
        bench.to_client(RTP, vip=flow.vip, client=flow.client),
    )
    return (there.verdict, back.verdict) == ("redirect", "redirect") and wanted == (
        there.frame,
        back.frame,
    )


@pytest.mark.parametrize("ip6", [False, True], ids=["ipv4", "ipv6"])
def test_flows_whose_buckets_are_full_are_forwarded_and_counted(
    bench: "Bench", *, ip6: bool
) -> None:
    ends = (bench.vip6, bench.upstream6) if ip6 else (bench.vip, bench.upstream)
    host = bench.client6.host if ip6 else bench.client.host
    flows = crowd(bench, host, *ends)
    for number, flow in enumerate(flows):
        bench.dataplane.install(flow)
        assert bench.dataplane.status().stashed == max(0, number + 1 - IN_BUCKETS)
    assert all(is_forwarded(bench, flow) for flow in flows)
    for flow in flows[-STASHED:]:
        request = bench.run(bench.from_client(bench.request(), client=flow.client, to=flow.vip))
        assert request.counted == {"forwarded_to_transceiver": 1}
        assert bench.dataplane.of_client(flow.from_client) == flow
    assert set(bench.dataplane.tuples()) == set(flows)
    # A later agent finds them, and each gets a place as soon as there is one.
    later = XdpDataplane(bench.instance)
    for number, flow in enumerate(flows):
        later.remove(flow)
        assert later.status().stashed == max(0, STASHED - number - 1)
        assert all(is_forwarded(bench, left) for left in flows[number + 1 :])
        assert not is_forwarded(bench, flow)
    later.close()


def test_a_flow_goes_from_the_stash(bench: "Bench") -> None:
    flows = crowd(bench, bench.client.host, bench.vip, bench.upstream)
    for flow in flows:
        bench.dataplane.install(flow)
    for gone in flows[IN_BUCKETS:]:
        bench.dataplane.remove(gone)
        flows.remove(gone)
        assert all(is_forwarded(bench, flow) for flow in flows)
        assert not is_forwarded(bench, gone)
    assert bench.dataplane.status().stashed == 0
