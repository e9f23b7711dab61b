"""The flow cache: which flows are found, and what is counted of them."""

from collections import Counter

import pytest

from relay.core.flow import Flow
from relay.forwarding.flowcache import CachedFlow, FlowCache
from tests.relay.conftest import ALICE, MALLORY, Scene

VIP, FIRST_SOCKET, SECOND_SOCKET = 3, 10, 11
CLIENT = b"the client's"


@pytest.fixture
def flow(scene: Scene) -> Flow:
    return scene.connect(ALICE)


@pytest.fixture
def cache() -> FlowCache:
    return FlowCache(Counter())


def test_flow_is_found_from_both_sides_until_it_is_removed(cache: FlowCache, flow: Flow) -> None:
    cached = CachedFlow(flow, VIP, CLIENT, FIRST_SOCKET)
    before = cache.version
    cache.add(cached)
    assert cache.version != before
    assert cache.by_client(VIP)[CLIENT] is cache.by_upstream[FIRST_SOCKET] is cached
    before = cache.version
    cache.remove(FIRST_SOCKET)
    assert cache.version != before
    assert not cache.by_client(VIP)
    assert not cache.by_upstream
    cache.remove(FIRST_SOCKET)  # again is fine


def test_rebound_client_has_the_new_flow_whichever_comes_first(
    cache: FlowCache, flow: Flow
) -> None:
    cache.add(CachedFlow(flow, VIP, CLIENT, FIRST_SOCKET))
    new = CachedFlow(flow, VIP, CLIENT, SECOND_SOCKET)
    cache.add(new)
    cache.remove(FIRST_SOCKET)
    assert cache.by_client(VIP) == {CLIENT: new}
    assert cache.by_upstream == {SECOND_SOCKET: new}


def test_what_passes_is_counted_with_its_flow(cache: FlowCache, flow: Flow, scene: Scene) -> None:
    cached = CachedFlow(flow, VIP, CLIENT, FIRST_SOCKET)
    before = flow.packets_to_transceiver, flow.bytes_to_transceiver
    cache.count_to_transceiver([cached, cached], [100, 50], scene.now.monotonic + 7)
    after = flow.packets_to_transceiver, flow.bytes_to_transceiver
    assert after == (before[0] + 2, before[1] + 150)
    assert flow.last_from_client == scene.now.monotonic + 7
    assert flow.last_from_transceiver == scene.now.monotonic
    before = flow.packets_to_client, flow.bytes_to_client
    cache.count_to_client([cached], [10], scene.now.monotonic + 8)
    after = flow.packets_to_client, flow.bytes_to_client
    assert after == (before[0] + 1, before[1] + 10)
    assert flow.last_from_transceiver == scene.now.monotonic + 8


def test_counters_are_right_at_once(scene: Scene, flow: Flow) -> None:
    counters: Counter[str] = Counter()
    cache = FlowCache(counters)
    other = scene.connect(MALLORY)
    one, two = (
        CachedFlow(flow, VIP, CLIENT, FIRST_SOCKET),
        CachedFlow(other, VIP, b"other", SECOND_SOCKET),
    )
    cache.count_to_transceiver([one, two, one], [1, 2, 3], 1.0)
    cache.count_to_client([two], [4], 1.0)
    assert counters == {
        "received_from_clients": 3,
        "forwarded_to_transceivers": 3,
        "bytes_to_transceivers": 6,
        "received_from_transceivers": 1,
        "forwarded_to_clients": 1,
        "bytes_to_clients": 4,
    }
