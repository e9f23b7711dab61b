"""Whose a flow is, by what the mirror says."""

import pytest

from relay.config.registry import Registry, Transceiver
from relay.core.flow import State
from relay.core.flowtuple import FlowTuple
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target
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
from tests.relay.core.test_session_recovery import adopt

ONE = str(ADDRESSES[FIRST])


def restore(scene: Scene, flow: FlowTuple, *, epoch: int = 1, own: bool = True) -> list[str]:
    """Let a table take a flow from the mirror."""
    return words(scene.table.ownership.restore(flow, scene.now, epoch=epoch, own=own))


def test_flow_of_the_mirror_is_not_restored_beside_the_adopted_one() -> None:
    before = Scene().connect().addresses
    scene = Scene()
    adopt(scene, before)
    assert restore(scene, before) == []
    assert scene.counted() == {"adopted": 1}


def test_a_flow_of_ones_own_is_restored_with_its_port_and_said_of_again() -> None:
    """The transceiver may have followed a later move, which Redis has missed."""
    before = Scene().connect().addresses
    scene = Scene()
    assert restore(scene, before, epoch=4) == [
        f"open {ONE}",
        f"announcement -> {ONE}",
        f"install {ONE}",
    ]
    flow = scene.flow()
    assert (flow.addresses, flow.epoch, flow.claimed) == (before, 4, True)
    assert scene.client(RTP) == [f"RTP -> {ONE}"]


def test_a_flow_that_is_taken_over_is_announced_with_the_next_epoch_and_claimed() -> None:
    before = Scene().connect().addresses._replace(upstream=Endpoint("192.0.2.99", 20_050))
    scene = Scene()
    assert restore(scene, before, epoch=4, own=False) == [
        f"open {ONE}",
        f"announcement -> {ONE}",
        f"install {ONE}",
        f"store {ONE}",
    ]
    flow = scene.flow()
    assert flow.addresses.upstream.host == UPSTREAM
    assert (flow.epoch, flow.claimed) == (5, False)
    assert scene.counted() == {"taken_over": 1}
    assert scene.client(RTP) == [f"RTP -> {ONE}"]


def test_a_flow_of_ones_own_whose_port_is_taken_is_announced_with_the_next_epoch() -> None:
    before = Scene().connect().addresses
    scene = Scene()
    other = scene.connect(MALLORY).addresses
    restored = before._replace(upstream=other.upstream)
    assert f"announcement -> {ONE}" in restore(scene, restored, epoch=4)
    assert scene.flow().addresses.upstream != other.upstream
    assert scene.flow().epoch == 5


def test_a_flow_gets_its_port_back_from_a_pending_flow_and_says_so() -> None:
    """In a flood of checks at the start each port is soon given to one."""
    before = Scene().connect().addresses
    scene = Scene(ports=range(before.upstream.port, before.upstream.port + 1))
    scene.client(scene.request(), MALLORY)
    assert scene.flow(MALLORY).addresses.upstream == before.upstream
    assert restore(scene, before, epoch=4) == [
        f"close {ONE}",
        f"open {ONE}",
        f"announcement -> {ONE}",
        f"install {ONE}",
        f"store {ONE}",
    ]
    assert scene.states() == [(ALICE, State.CONFIRMED)]
    assert (scene.flow().addresses, scene.flow().epoch) == (before, 5)


def test_who_had_to_make_way_says_where_he_is_when_his_flow_is_found() -> None:
    """The transceiver may have come to believe him at the other one's port."""
    mine = Scene().connect().addresses
    scene = Scene(ports=range(mine.upstream.port, mine.upstream.port + 2))
    theirs = mine._replace(client=MALLORY, upstream=mine.upstream._replace(port=0))
    scene.client(scene.request(), MALLORY)
    taken = scene.flow(MALLORY).addresses.upstream
    other = next(
        port for port in (mine.upstream.port, mine.upstream.port + 1) if port != taken.port
    )
    restore(scene, mine._replace(upstream=taken))
    theirs = theirs._replace(upstream=taken._replace(port=other))
    assert f"announcement -> {ONE}" in restore(scene, theirs, epoch=4)
    assert (scene.flow(MALLORY).addresses, scene.flow(MALLORY).epoch) == (theirs, 5)


@pytest.mark.parametrize("own", [True, False])
def test_a_flow_stays_at_the_port_that_its_check_was_given(own: bool) -> None:
    """The transceiver has followed the check there."""
    before = Scene().connect().addresses
    port = before.upstream.port
    scene = Scene(ports=range(port - 1, port + 1))
    for number in range(20):  # until a stranger's check is given the port
        stranger = MALLORY._replace(port=40_000 + number)
        scene.client(scene.request(), stranger)
        if scene.flow(stranger).addresses.upstream == before.upstream:
            break
        scene.table.lifecycle.give_up(scene.flow(stranger), scene.now)
        scene.wait(6.0)  # its port has rested
    scene.client(scene.request())
    begun = scene.flow().addresses.upstream
    assert begun.port == port - 1
    restored = restore(scene, before, epoch=4, own=own)
    assert restored == [f"announcement -> {ONE}", f"install {ONE}", f"store {ONE}"]
    assert scene.flow().addresses == before._replace(upstream=begun)
    assert scene.flow().epoch == 5


def test_the_epoch_of_an_adopted_flow_comes_from_the_mirror() -> None:
    before = Scene().connect().addresses
    scene = Scene()
    adopt(scene, before)
    assert restore(scene, before, epoch=4) == []
    assert scene.flow().epoch == 4


def test_a_claimed_flow_goes_when_another_relay_has_taken_it_over() -> None:
    scene = Scene()
    flow = scene.connect()
    flow.claimed = False
    assert words(scene.table.ownership.lost(flow.addresses, 2, scene.now)) == []  # not claimed yet
    scene.table.ownership.claimed(flow.addresses)
    assert words(scene.table.ownership.lost(flow.addresses, 1, scene.now)) == []  # its own epoch
    assert words(scene.table.ownership.lost(flow.addresses, 2, scene.now)) == [
        f"remove {ONE}",
        f"close {ONE}",
    ]
    assert scene.states() == []
    assert scene.counted()["lost_to_another"] == 1
    assert scene.client(RTP) == [f"recall {ALICE}"]  # should it come back


def test_a_flow_whose_client_has_come_back_is_taken_back() -> None:
    scene = Scene()
    flow = scene.connect()
    scene.table.ownership.claimed(flow.addresses)
    lost = scene.table.ownership.lost(flow.addresses, 2, scene.now, is_here=True)
    assert words(lost) == [f"announcement -> {ONE}", f"store {ONE}"]
    assert (flow.epoch, scene.states()) == (3, [(ALICE, State.CONFIRMED)])
    assert not flow.claimed  # the mirror has it as the other one's
    assert scene.counted()["taken_back"] == 1


def test_a_flow_whose_client_is_here_is_claimed_against_an_older_record() -> None:
    """It came by a check, while the mirror was away or was not asked."""
    scene = Scene()
    flow = scene.connect()
    assert words(scene.table.ownership.contested(flow.addresses, 7, scene.now)) == [
        f"announcement -> {ONE}",
        f"store {ONE}",
    ]
    assert flow.epoch == 8


def test_a_flow_whose_client_has_gone_is_left_to_who_has_claimed_it() -> None:
    scene = Scene()
    flow = scene.connect()
    scene.wait(scene.table.limits.address_kept)
    assert words(scene.table.ownership.contested(flow.addresses, 7, scene.now)) == [
        f"remove {ONE}",
        f"close {ONE}",
    ]


def test_a_flow_rebound_to_another_transceiver_keeps_the_epoch() -> None:
    scene = Scene()
    flow = scene.connect()
    flow.epoch = 9
    scene.wait(60.0)  # it is silent
    assert scene.connect(target=SECOND).epoch == 9


def test_check_that_comes_before_the_mirrors_answer_leaves_the_flow_its_port() -> None:
    before = Scene().connect().addresses
    scene = Scene()
    scene.client(scene.request(scene.ufrag(FIRST)))
    assert scene.states() == [(ALICE, State.PENDING)]
    assert restore(scene, before) == [
        f"announcement -> {ONE}",
        f"install {ONE}",
        f"store {ONE}",
    ]
    assert scene.states() == [(ALICE, State.CONFIRMED)]
    assert scene.flow().addresses == before
    assert scene.client(RTP) == [f"RTP -> {ONE}"]


def test_check_with_anothers_ufrag_before_the_mirrors_answer_changes_nothing() -> None:
    before = Scene().connect().addresses
    scene = Scene()
    scene.client(scene.request(scene.ufrag(FIRST, nonce=b"evil")))
    restore(scene, before)
    assert scene.flow().addresses == before


def test_what_a_ufrag_made_is_not_replaced_by_the_mirror(scene: Scene) -> None:
    flow = scene.connect()
    stale = flow.addresses._replace(transceiver=ADDRESSES[SECOND])
    assert restore(scene, stale) == []
    assert scene.client(RTP) == [f"RTP -> {ONE}"]


@pytest.mark.parametrize(
    "change",
    [
        {"transceiver": Endpoint("127.0.0.1", 6379)},
        {"transceiver": ADDRESSES[SECOND]},
        {"vip": Endpoint("203.0.113.11", 3478)},
        {"route": bytes(21)},
    ],
    ids=["unknown-address", "address-of-another-slot", "other-vip", "forged-route"],
)
def test_mirror_is_not_believed_against_own_settings(change: dict[str, Endpoint | bytes]) -> None:
    before = Scene().connect().addresses._replace(**change)
    scene = Scene()
    assert restore(scene, before) == []
    assert (scene.states(), scene.counted()) == ([], {"restore_refused": 1})


def test_generation_that_has_passed_is_not_restored() -> None:
    before = Scene().connect().addresses
    reused = Registry((Transceiver(Target(1, 1, 2), ADDRESSES[FIRST]),))
    scene = Scene(registry=reused)
    assert restore(scene, before) == []
