"""The session table of a relay that starts anew: flows adopted."""

import pytest

from relay.core.flow import State
from relay.core.flowtuple import FlowTuple
from relay.core.limits import Limits
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from tests.relay.conftest import (
    ADDRESSES,
    ALICE,
    FIRST,
    MALLORY,
    RTP,
    SECOND,
    UPSTREAM,
    Scene,
    words,
)
from tests.relay.run.stage import MemoryDataplane

ONE = str(ADDRESSES[FIRST])


def adopt(scene: Scene, *flows: FlowTuple) -> list[str]:
    """Let a table take over what a dataplane has."""
    dataplane = MemoryDataplane()
    for flow in flows:
        dataplane.install(flow)
    return words(scene.table.adopt(dataplane, scene.now))


def test_adopted_flow_goes_on_with_its_port() -> None:
    before = Scene().connect().addresses
    scene = Scene()
    assert adopt(scene, before) == []
    assert words(scene.table.sweep(scene.now)) == [f"store {ONE}"]
    assert scene.client(RTP) == [f"RTP -> {ONE}"]
    assert scene.flow().addresses == before


def test_adopted_flow_is_found_by_its_upstream_address() -> None:
    before = Scene().connect().addresses
    scene = Scene()
    adopt(scene, before)
    flow = scene.table.at_upstream(before.packed_upstream)
    assert flow is not None
    assert scene.transceiver(RTP, flow) == [f"RTP -> {ALICE}"]
    assert scene.table.at_upstream(before.packed_upstream) is flow
    assert list(scene.table) == [flow]
    assert scene.table.at_upstream(before.upstream._replace(port=20_001).packed) is None


def test_ports_of_adopted_flows_are_taken_before_anybody_wants_one() -> None:
    scene = Scene(ports=range(20_000, 20_003))
    before = scene.connect().addresses
    others = [each for each in range(20_000, 20_003) if each != before.upstream.port]
    later = Scene(ports=range(20_000, 20_003))
    adopt(later, before)
    ports = {
        later.connect(ALICE._replace(port=number)).addresses.upstream.port for number in (1, 2)
    }
    assert ports == set(others)
    assert later.client(later.request(), ALICE._replace(port=3)) == []
    assert later.counted()["no_upstream_port"] == 1
    assert [flow.addresses.client.port for flow in later.table] == [1, 2, ALICE.port]


def test_adopted_flows_count_as_others_do() -> None:
    before = Scene().connect().addresses
    scene = Scene(limits=Limits(flows=1))
    adopt(scene, before)
    assert scene.table.count(State.CONFIRMED) == 1
    request = scene.request()
    scene.client(request, MALLORY)
    assert "alarm" in scene.transceiver(scene.answer(request), scene.flow(MALLORY))
    assert scene.counted()["refused_full"] == 1
    assert scene.table.count(State.CONFIRMED) == 1
    scene.client(RTP)  # it wakes
    assert scene.table.count(State.CONFIRMED) == 1


def test_adopted_flows_count_against_their_route() -> None:
    before = Scene().connect().addresses
    scene = Scene(limits=Limits(flows_per_route=2))
    adopt(scene, before)
    for number in range(1, 4):
        scene.client(scene.request(), MALLORY._replace(port=number))
        assert scene.table.count(State.PENDING) == 1  # beside the one that is confirmed
        if number == 2:
            scene.client(RTP)  # which wakes, and counts once
    scene.client(scene.request(scene.ufrag(nonce=b"othr")), MALLORY)
    assert scene.table.count(State.PENDING) == 2


def test_a_flow_that_sleeps_when_the_dataplane_stops_was_not_silent_for_long_either() -> None:
    """It may have been heard there until then, and nobody knows here."""
    before = Scene().connect().addresses
    scene = Scene(limits=Limits(idle=300.0))
    adopt(scene, before)
    scene.wait(1000)
    scene.table.sweep(scene.now, dataplane_forwards=True)
    scene.wait(5)
    scene.table.sweep(scene.now)
    assert not scene.table.may_expire(scene.now)
    assert words(scene.table.expire([before], scene.now)) == []  # which wakes it
    scene.wait(299)
    scene.table.sweep(scene.now)
    assert scene.states() == [(ALICE, State.CONFIRMED)]
    scene.wait(2)
    assert scene.table.may_expire(scene.now)
    expected = [f"remove {ONE}", f"close {ONE}", f"forget {ONE}"]
    assert words(scene.table.expire([before], scene.now)) == expected


def test_adopted_flow_that_is_idle_ends_no_sooner_than_another() -> None:
    before = Scene().connect().addresses
    scene = Scene(limits=Limits(idle=300.0))
    adopt(scene, before)
    scene.wait(299.0)
    assert words(scene.table.expire([before], scene.now)) == []
    scene.wait(2.0)
    expected = [f"remove {ONE}", f"close {ONE}", f"forget {ONE}"]
    assert words(scene.table.expire([before], scene.now)) == expected
    assert scene.table.count(State.CONFIRMED) == 0


def test_adopted_flow_is_rebound_as_another_is() -> None:
    before = Scene().connect().addresses
    scene = Scene()
    adopt(scene, before)
    scene.wait(60.0)  # it is silent
    scene.connect(target=SECOND)
    scene.table.lifecycle.installed(scene.flow(target=SECOND), scene.now)
    assert scene.states() == [(ALICE, State.CONFIRMED)]
    assert scene.counted()["rebound"] == 1


def test_whoever_wakes_while_flows_are_listed_is_listed_once() -> None:
    first, second = (
        Scene().connect(ALICE._replace(port=port)).addresses for port in (40_001, 40_002)
    )
    second = second._replace(upstream=first.upstream._replace(port=20_099))
    scene = Scene()
    adopt(scene, first, second)
    listing = iter(scene.table)
    assert next(listing).addresses == first
    scene.client(RTP, first.client)
    scene.client(RTP, second.client)
    assert [flow.addresses for flow in listing] == [second]
    assert [flow.addresses for flow in scene.table] == [first, second]


def test_flow_is_adopted_though_its_key_has_left() -> None:
    before = Scene(keys=KeyRing({0: bytes(32)}, 0)).connect().addresses
    scene = Scene(keys=KeyRing({1: bytes(range(32))}, 1))
    adopt(scene, before)
    assert scene.states() == [(ALICE, State.CONFIRMED)]


@pytest.mark.parametrize(
    "change",
    [
        {"vip": Endpoint("203.0.113.11", 3478)},
        {"upstream": Endpoint(UPSTREAM, 9)},
        {"upstream": Endpoint("192.0.2.77", 20_000)},
    ],
    ids=["other-vip", "port-out-of-range", "other-upstream-address"],
)
def test_flow_of_other_settings_is_removed_from_the_dataplane(
    change: dict[str, Endpoint],
) -> None:
    before = Scene().connect().addresses._replace(**change)
    scene = Scene()
    assert adopt(scene, before) == [f"remove {ONE}"]
    assert scene.states() == []


def test_stray_entry_of_the_dataplane_is_removed(scene: Scene) -> None:
    flow = scene.connect()
    stray = flow.addresses._replace(upstream=flow.addresses.upstream._replace(port=1))
    assert words(scene.table.expire([stray], scene.now)) == [f"remove {ONE}"]
    assert scene.states() == [(ALICE, State.CONFIRMED)]


def test_many_adopted_flows_are_stored_by_some_sweeps() -> None:
    before = Scene().connect().addresses
    scene = Scene(limits=Limits(stores=2))
    adopt(
        scene,
        *(
            before._replace(
                client=ALICE._replace(port=number + 1),
                upstream=before.upstream._replace(port=20_000 + number),
            )
            for number in range(5)
        ),
    )
    sweeps = [scene.table.sweep(scene.now) for _ in range(4)]
    assert [len(commands) for commands in sweeps] == [2, 2, 1, 0]
    stored = [command.flow.addresses for commands in sweeps for command in commands]  # type: ignore[union-attr]
    assert stored == [flow.addresses for flow in scene.table]
