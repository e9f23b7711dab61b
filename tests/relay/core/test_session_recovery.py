"""The session table of a relay that starts anew: flows adopted and restored."""

import pytest

from relay.config.registry import Registry, Transceiver
from relay.core.flow import State
from relay.core.limits import Limits
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from tests.relay.conftest import ADDRESSES, ALICE, FIRST, RTP, SECOND, UPSTREAM, Scene, words

ONE = str(ADDRESSES[FIRST])


def test_adopted_flow_goes_on_with_its_port() -> None:
    before = Scene().connect().addresses
    scene = Scene()
    assert words(scene.table.adopt(before, scene.now)) == [f"open {ONE}"]
    assert words(scene.table.sweep(scene.now)) == [f"store {ONE}"]
    assert scene.client(RTP) == [f"RTP -> {ONE}"]
    assert scene.flow().addresses == before


def test_flow_is_adopted_though_its_key_has_left() -> None:
    before = Scene(keys=KeyRing({0: bytes(32)}, 0)).connect().addresses
    scene = Scene(keys=KeyRing({1: bytes(range(32))}, 1))
    scene.table.adopt(before, scene.now)
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
    assert words(scene.table.adopt(before, scene.now)) == [f"remove {ONE}"]
    assert scene.states() == []


def test_stray_entry_of_the_dataplane_is_removed(scene: Scene) -> None:
    flow = scene.connect()
    stray = flow.addresses._replace(upstream=flow.addresses.upstream._replace(port=1))
    assert words(scene.table.expire([stray], scene.now)) == [f"remove {ONE}"]
    assert scene.states() == [(ALICE, State.CONFIRMED)]


def test_restored_flow_is_announced_and_installed_with_its_port() -> None:
    before = Scene().connect().addresses
    scene = Scene()
    assert words(scene.table.restore(before, scene.now)) == [
        f"open {ONE}",
        f"announcement -> {ONE}",
        f"install {ONE}",
        f"store {ONE}",
    ]
    assert scene.flow().addresses == before
    assert scene.client(RTP) == [f"RTP -> {ONE}"]


def test_flow_restored_on_another_relay_gets_an_address_of_its_own() -> None:
    before = Scene().connect().addresses._replace(upstream=Endpoint("192.0.2.99", 20_050))
    scene = Scene()
    assert words(scene.table.restore(before, scene.now))[1] == f"announcement -> {ONE}"
    assert scene.flow().addresses.upstream.host == UPSTREAM


def test_what_a_ufrag_made_is_not_replaced_by_the_mirror(scene: Scene) -> None:
    flow = scene.connect()
    stale = flow.addresses._replace(transceiver=ADDRESSES[SECOND])
    assert scene.table.restore(stale, scene.now) == []
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
    assert scene.table.restore(before, scene.now) == []
    assert (scene.states(), scene.counted()) == ([], {"restore_refused": 1})


def test_generation_that_has_passed_is_not_restored() -> None:
    before = Scene().connect().addresses
    reused = Registry((Transceiver(Target(1, 1, 2), ADDRESSES[FIRST]),))
    scene = Scene(registry=reused)
    assert scene.table.restore(before, scene.now) == []


def test_many_adopted_flows_are_stored_by_some_sweeps() -> None:
    before = Scene().connect().addresses
    scene = Scene(limits=Limits(stores=2))
    for number in range(5):
        client = ALICE._replace(port=number + 1)
        upstream = before.upstream._replace(port=20_000 + number)
        scene.table.adopt(before._replace(client=client, upstream=upstream), scene.now)
    sweeps = [scene.table.sweep(scene.now) for _ in range(4)]
    assert [len(commands) for commands in sweeps] == [2, 2, 1, 0]
    stored = [command.flow for commands in sweeps for command in commands]  # type: ignore[union-attr]
    assert stored == list(scene.table)
