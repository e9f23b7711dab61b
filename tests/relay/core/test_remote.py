"""Clusters elsewhere, as an edge sees them."""

from base64 import b64decode
from collections import Counter
from dataclasses import replace

import pytest

from relay.config.registry import Registry, RemoteCluster, Transceiver
from relay.core.admission import Admission
from relay.core.flow import State
from relay.core.flowtuple import Source
from relay.core.limits import Limits
from relay.core.rates import CLOSED, RateLimit, Rates
from relay.core.remote import RemoteClusters
from relay.wire.edgekeys import EdgeKeys
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.keysource import Role
from relay.wire.route import TAG, Route, Target, decode, mint
from tests.relay.conftest import ADDRESSES, ALICE, FIRST, UNIX, VIP, Scene
from tests.relay.core.stages import EDGE_RING, FAR, FAR_VIP

VIPS = tuple(Endpoint("198.51.100.10", 3478 + number) for number in range(3))
STRANGER = KeyRing({0: bytes(range(1, 33))}, 0)
GIVEN = EdgeKeys([KeyRing({0: bytes(32)}, 0).exported(2, Role.EDGE)])


def remote(*vips: Endpoint) -> RemoteClusters:
    registry = Registry((), remote=(RemoteCluster(2, vips),))
    return RemoteClusters(registry, EDGE_RING, GIVEN)


def route(cluster: int, nonce: bytes = b"abcd") -> bytes:
    return mint(Target(cluster, 1, 1), STRANGER, now=UNIX, lifetime=3600, nonce=nonce).raw


def test_the_number_of_the_cluster_alone_says_where_a_route_leads() -> None:
    there = remote(*VIPS)
    assert [there.lead(route(cluster)) for cluster in (1, 2, 258)] == [False, True, False]
    assert there.has(route(2), VIPS[1])
    assert not there.has(route(2), FAR_VIP._replace(port=1))


def test_what_is_signed_there_and_here_has_different_keys() -> None:
    there = remote(*VIPS)
    assert there.signers(route(2)) is GIVEN
    assert there.signers(route(1)) is EDGE_RING


def test_clients_are_spread_over_all_relays_and_each_keeps_its_own() -> None:
    sources = [Source(ALICE._replace(port=port), VIP) for port in range(1, 601)]
    before = {each: remote(*VIPS).relay_for(each, 2) for each in sources}
    assert all(150 < count < 250 for count in Counter(before.values()).values())
    fewer = remote(*VIPS[:2])
    moved = [each for each in sources if fewer.relay_for(each, 2) != before[each]]
    assert {before[each] for each in moved} == {VIPS[2]}
    assert fewer.relay_for(sources[0], 3) is None


# In the session table


def edge(limits: Limits | None = None, **rates: RateLimit) -> Scene:
    registry = Registry(
        (Transceiver(FIRST, ADDRESSES[FIRST]),), remote=(RemoteCluster(2, (FAR_VIP,)),)
    )
    admission = Admission(replace(Rates(), **rates))
    return Scene(registry=registry, limits=limits, admission=admission)


def made_up(scene: Scene, nonce: bytes = b"abcd", target: Target = FAR) -> bytes:
    ufrag = mint(target, STRANGER, now=scene.now.unix, lifetime=3600, nonce=nonce).ufrag
    return scene.request(ufrag)


def test_nobody_verifies_here_what_is_for_elsewhere() -> None:
    scene = edge()
    assert scene.client(made_up(scene)) == [
        f"open {FAR_VIP}",
        f"announcement -> {FAR_VIP}",
        f"request -> {FAR_VIP}",
    ]
    assert scene.client(made_up(scene, target=FIRST)) == []
    assert scene.client(made_up(scene, target=Target(3, 1, 1))) == []
    assert scene.counted() == {"bad_route": 2}


def test_whoever_makes_up_routes_takes_nobodys_place() -> None:
    scene = edge(Limits(pending=4, pending_remote=4, pending_per_prefix=4))
    own = scene.client(scene.request())
    assert own[0].startswith("open")
    for number in range(20):
        scene.client(made_up(scene, number.to_bytes(4, "big")), ALICE._replace(port=number + 1))
    assert scene.counted()["pending_replaced"] == 16
    assert scene.states()[0] == (ALICE, State.PENDING)  # in the same prefix, too
    assert len(scene.states()) == 5
    for number in range(3):
        scene.client(scene.request(), ALICE._replace(port=number + 100))
    assert len(scene.states()) == 8


def test_what_is_verified_here_has_no_share_in_that_rate() -> None:
    scene = edge(stun_remote=RateLimit(1, 2))
    for number in range(3):
        scene.client(made_up(scene, bytes([number] * 4)), ALICE._replace(port=number + 1))
    assert scene.counted()["stun_remote_limited"] == 1
    assert scene.client(scene.request())[0].startswith("open")


def test_whoever_makes_up_routes_empties_no_bucket_of_a_ufrag_or_a_network() -> None:
    once = RateLimit(1, 1)
    scene = edge(ufrag=once, prefix=once, stun_routed=once, stun_repeated=CLOSED)
    good = decode(b64decode(scene.ufrag()))
    for number in range(3):
        made_up_bytes = bytes([number]) * 4
        forged = good.raw[:1] + b"\0\2" + made_up_bytes + good.raw[7:9] + made_up_bytes
        forged += good.raw[TAG]
        scene.client(scene.request(Route(forged).ufrag), ALICE)
    assert scene.counted() == {}
    assert scene.client(scene.request(good.ufrag), ALICE)[-1].startswith("request")


@pytest.mark.parametrize("wait", [0.0, 1.0])
def test_a_check_again_of_a_pending_flow_is_let_through(wait: float) -> None:
    scene = edge(stun_remote=RateLimit(1, 2))
    scene.client(made_up(scene))
    scene.wait(wait)
    assert scene.client(made_up(scene))[-1] == f"request -> {FAR_VIP}"
