"""Lanes: who has one, and what is counted there."""

from collections import Counter

import pytest

from relay.core.flow import Flow
from relay.forwarding.flowcache import Lane, Lanes
from tests.relay.conftest import ALICE, MALLORY, Scene

VIP, FIRST_SOCKET, SECOND_SOCKET = 3, 10, 11
NAME = b"the client's"


@pytest.fixture
def flow(scene: Scene) -> Flow:
    return scene.connect(ALICE)


@pytest.fixture
def lanes() -> Lanes:
    return Lanes(Counter())


def test_lane_is_found_from_both_sides_until_it_closes(lanes: Lanes, flow: Flow) -> None:
    lane = Lane(flow, VIP, NAME, FIRST_SOCKET)
    before = lanes.version
    lanes.open(lane)
    assert lanes.version != before
    assert lanes.of_clients(VIP)[NAME] is lanes.of_sockets[FIRST_SOCKET] is lane
    before = lanes.version
    lanes.close(FIRST_SOCKET)
    assert lanes.version != before
    assert not lanes.of_clients(VIP)
    assert not lanes.of_sockets
    lanes.close(FIRST_SOCKET)  # again is fine


def test_rebound_client_has_the_new_lane_whichever_comes_first(lanes: Lanes, flow: Flow) -> None:
    lanes.open(Lane(flow, VIP, NAME, FIRST_SOCKET))
    new = Lane(flow, VIP, NAME, SECOND_SOCKET)
    lanes.open(new)
    lanes.close(FIRST_SOCKET)
    assert lanes.of_clients(VIP) == {NAME: new}
    assert lanes.of_sockets == {SECOND_SOCKET: new}


def test_what_passes_is_counted_with_its_flow(lanes: Lanes, flow: Flow, scene: Scene) -> None:
    lane = Lane(flow, VIP, NAME, FIRST_SOCKET)
    before = flow.packets_to_transceiver, flow.bytes_to_transceiver
    lanes.passed_inward([lane, lane], [100, 50], scene.now.monotonic + 7)
    after = flow.packets_to_transceiver, flow.bytes_to_transceiver
    assert after == (before[0] + 2, before[1] + 150)
    assert flow.last_from_client == scene.now.monotonic + 7
    assert flow.last_from_transceiver == scene.now.monotonic
    before = flow.packets_to_client, flow.bytes_to_client
    lanes.passed_outward([lane], [10], scene.now.monotonic + 8)
    after = flow.packets_to_client, flow.bytes_to_client
    assert after == (before[0] + 1, before[1] + 10)
    assert flow.last_from_transceiver == scene.now.monotonic + 8


def test_counters_are_right_at_once(scene: Scene, flow: Flow) -> None:
    counters: Counter[str] = Counter()
    lanes = Lanes(counters)
    other = scene.connect(MALLORY)
    one, two = Lane(flow, VIP, NAME, FIRST_SOCKET), Lane(other, VIP, b"other", SECOND_SOCKET)
    lanes.passed_inward([one, two, one], [1, 2, 3], 1.0)
    lanes.passed_outward([two], [4], 1.0)
    assert counters == {
        "received_from_clients": 3,
        "forwarded_to_transceivers": 3,
        "received_from_transceivers": 1,
        "forwarded_to_clients": 1,
    }
