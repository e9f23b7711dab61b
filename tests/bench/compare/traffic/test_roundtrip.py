"""Round trips through plain kernel forwarding."""

import socket

import pytest

from tests.bench.compare.testbed.system import Direction, Flow, Leg
from tests.bench.compare.testbed.testbed import SENDER_CORE, Testbed
from tests.bench.compare.traffic import pinger
from tests.bench.compare.traffic.roundtrip import RoundTrips, round_trips
from tests.bench.compare.traffic.stream import Traffic
from tests.lab.errors import LabError

SIZE = 160


def flow(testbed: Testbed, number: int) -> Flow:
    client, transceiver = testbed.client(number), testbed.transceiver
    return Flow(Leg(client, transceiver), Leg(transceiver, client))


def trips(testbed: Testbed, count: int) -> RoundTrips:
    return round_trips(
        testbed, flow(testbed, 0), payload=SIZE, period=0.0, count=count, core=SENDER_CORE
    )


@pytest.mark.bpf
@pytest.mark.netns
def test_packets_come_back_beside_other_traffic(routed: Testbed) -> None:
    flows = [flow(routed, number) for number in range(3)]
    with Traffic(routed, flows, Direction.TO_TRANSCEIVER, SIZE) as traffic:
        assert trips(routed, 50).times.total == 50
        traffic.begin_bursts(2000, 0.5)
        made = trips(routed, 50)
        passed = traffic.finish_bursts()
    assert (made.times.total, made.lost) == (50, 0)
    assert 0 < made.times.percentile(0.5) <= made.times.slowest
    assert passed.arrived + passed.late == passed.sent == passed.requested


@pytest.mark.bpf
@pytest.mark.netns
def test_that_nothing_comes_back_is_told(routed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.compare.traffic.roundtrip.PATIENCE_SECONDS", 0.05)
    with pytest.raises(LabError, match="No packet came back"):
        trips(routed, 2)


def test_what_does_not_come_back_is_lost_and_the_rest_is_measured() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs,
    ):
        for each in (ours, theirs):
            each.bind(("127.0.0.1", 0))
        ours.settimeout(0.2)
        # The answers to packets 0 and 2 are there already; what else comes is nobody's.
        for data in (b"noise", pinger.payload_of(0, SIZE), pinger.payload_of(2, SIZE)):
            theirs.sendto(data, ours.getsockname())
        task = pinger.Task(
            ours.getsockname(), theirs.getsockname(), "", SIZE, period=0.0, count=2, patience=0.2
        )
        outcome = pinger.ping(task, ours)
    assert (sum(outcome.counts.values()), outcome.lost) == (1, 1)


def test_a_channel_is_named_before_the_payload() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs,
    ):
        for each in (ours, theirs):
            each.bind(("127.0.0.1", 0))
            each.settimeout(0.1)
        task = pinger.Task(
            ours.getsockname(), theirs.getsockname(), "4007", SIZE, 0.0, count=1, patience=0.1
        )
        assert pinger.ping(task, ours).lost == 1
        assert theirs.recv(2048) == b"\x40\x07\x00\xa0" + pinger.payload_of(0, SIZE)
