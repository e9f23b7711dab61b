"""The steps of flows that the dataplane or the host refuses."""

from relay.core.flow import Install
from relay.core.limits import Limits
from tests.relay.conftest import ADDRESSES, FIRST, RTP, SECOND, Scene, words

ONE, TWO = (str(ADDRESSES[target]) for target in (FIRST, SECOND))


def test_a_flow_that_the_dataplane_refuses_leaves_the_one_that_was_there(scene: Scene) -> None:
    old = scene.connect()
    scene.wait(Limits().address_kept)
    request = scene.request(scene.ufrag(SECOND))
    scene.client(request)
    new = scene.flow(target=SECOND)
    assert isinstance(
        scene.table.from_transceiver(scene.answer(request), new, scene.now)[0], Install
    )
    assert words(scene.table.lifecycle.not_installed(new, scene.now)) == [
        f"remove {TWO}",
        f"close {TWO}",
    ]
    assert list(scene.table) == [old]
    assert scene.client(RTP) == [f"RTP -> {ONE}"]
    assert scene.pool.busy(scene.now.monotonic) == 2 / 100  # the other port rests


def test_port_of_another_process_is_not_tried_again() -> None:
    scene = Scene(ports=range(20_000, 20_002))
    scene.client(scene.request())
    flow = scene.flow()
    lost = flow.addresses.upstream
    assert scene.table.lifecycle.change_port(flow, scene.now)
    assert flow.addresses.upstream != lost
    assert not scene.table.lifecycle.change_port(flow, scene.now)
    assert scene.states() == []


def test_a_restored_flow_whose_port_another_process_has_is_claimed_at_another_with_the_next_epoch(
    scene: Scene,
) -> None:
    stored = Scene().connect().addresses
    scene.table.ownership.restore(stored, scene.now, epoch=4, own=True)
    flow = scene.flow()
    assert scene.table.lifecycle.change_port(flow, scene.now)
    assert flow.addresses.upstream != stored.upstream
    assert (flow.epoch, flow.claimed) == (5, False)
    assert words(scene.table.sweep(scene.now)) == [f"store {ONE}"]
    scene.table.lifecycle.change_port(flow, scene.now)  # that one, too
    assert flow.epoch == 5
    assert scene.client(RTP) == [f"RTP -> {ONE}"]


def test_flow_that_the_dataplane_refuses_is_given_up(scene: Scene) -> None:
    flow = scene.connect()
    assert words(scene.table.lifecycle.not_installed(flow, scene.now)) == [
        f"remove {ONE}",
        f"close {ONE}",
    ]
    assert scene.states() == []
