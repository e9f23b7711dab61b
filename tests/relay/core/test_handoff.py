"""What an agent tells its successor of its flows."""

import json

import pytest

from relay.core.flow import FOREVER, Flow, State
from relay.core.handoff import Written, read, write
from relay.core.limits import Limits
from relay.core.ports import QUARANTINE
from relay.wire.endpoint import Endpoint
from relay.wire.transport import Transport
from tests.relay.conftest import ADDRESSES, ALICE, FIRST, MALLORY, RTP, Scene
from tests.relay.core.stages import Stages, announced
from tests.relay.core.test_session_recovery import adopt

ONE = str(ADDRESSES[FIRST])


def handed(scene: Scene, *, adopted: bool = False) -> list[Written]:
    """All flows of a table, as they reach its successor."""
    told = [written for _, written in scene.table.handoff.flows(adopted=adopted)]
    again: list[Written] = json.loads(json.dumps(told))
    return again


def successor(before: Scene, **changes: range | Limits) -> Scene:
    """A table that has taken all flows of another one."""
    scene = Scene(**changes)  # type: ignore[arg-type]
    scene.now = before.now
    scene.table.handoff.let_rest(json.loads(json.dumps(before.table.handoff.resting())))
    for written in handed(before):
        scene.table.handoff.take(written)
    return scene


def fields(flow: Flow) -> list[object]:
    return [getattr(flow, name) for name in Flow.__slots__ if name != "replaces"]


def test_a_flow_is_read_as_it_was_written() -> None:
    flow = Scene().connect()
    flow.transactions = (b"a" * 12, b"b" * 12)
    flow.packets_to_client, flow.bytes_to_client, flow.epoch, flow.claimed = 3, 516, 4, True
    again, answered = read(json.loads(json.dumps(write(flow, answered=True))))
    assert fields(again) == fields(flow)
    assert answered
    assert again.ends_at == FOREVER


@pytest.mark.parametrize("written", [[], [1, 2], ["zz", "confirmed", [], [], [], [], [], True]])
def test_what_is_no_flow_is_refused(written: Written) -> None:
    with pytest.raises((ValueError, TypeError)):
        read(written)


def test_a_confirmed_flow_goes_on_with_its_port_and_nobody_is_told() -> None:
    before = Scene()
    flow = before.connect()
    flow.epoch, flow.claimed = 3, True
    scene = successor(before)
    assert fields(scene.flow()) == fields(flow)
    assert scene.client(RTP) == [f"RTP -> {ONE}"]
    assert scene.counted()["inherited"] == 1


def test_a_flow_does_not_expire_by_what_the_agent_before_had_seen_of_it() -> None:
    """The kernel had forwarded until a moment before."""
    before = Scene()
    before.connect()
    before.wait(1000)
    scene = Scene()
    scene.now = before.now
    adopt(scene)
    for written in handed(before):
        scene.table.handoff.take(written)
    scene.table.sweep(scene.now)
    assert [flow.state for flow in scene.table] == [State.CONFIRMED]
    scene.wait(Limits().idle + 1)
    scene.table.sweep(scene.now)
    assert not list(scene.table)


def test_a_pending_flow_is_confirmed_by_the_answer_to_a_check_that_went_before() -> None:
    before = Scene()
    request = before.request()
    before.client(request)
    scene = successor(before)
    (flow,) = scene.table
    assert flow.state is State.PENDING
    scene.transceiver(scene.answer(request), flow)
    assert scene.flow().state is State.CONFIRMED


@pytest.mark.parametrize("answered", [True, False])
def test_who_gives_way_to_newcomers_does_so_as_before(answered: bool) -> None:
    before = Scene(limits=Limits(pending=1))
    request = before.request()
    before.client(request)
    if answered:
        (flow,) = before.table
        before.transceiver(before.answer(request, method=2), flow)
    scene = successor(before, limits=Limits(pending=1))
    scene.client(scene.request(scene.ufrag(nonce=b"othr")), MALLORY)
    (flow,) = scene.table
    assert (flow.addresses.client == ALICE) is answered


def test_a_flow_that_was_said_goodbye_to_ends_when_it_would_have() -> None:
    before = Scene()
    flow = before.connect()
    flow.ends_at = before.now.monotonic + 1.0
    scene = successor(before)
    assert scene.flow().has_ended
    scene.wait(2.0)
    scene.table.sweep(scene.now)
    assert not list(scene.table)


def test_a_port_that_rests_goes_on_resting() -> None:
    before = Scene(ports=range(20_000, 20_001))
    flow = before.connect()
    before.table.lifecycle.drop(flow, before.now, "ended")
    scene = successor(before, ports=range(20_000, 20_001))
    scene.client(scene.request())
    assert not list(scene.table)
    scene.wait(QUARANTINE)
    scene.client(scene.request())
    assert len(list(scene.table)) == 1


def test_what_the_dataplane_has_is_adopted_from_there() -> None:
    before = Scene()
    flow = before.connect()
    before.client(before.request(before.ufrag(nonce=b"othr")), MALLORY)
    assert [read(each)[0].addresses.client for each in handed(before, adopted=True)] == [MALLORY]
    scene = Scene()
    adopt(scene, flow.addresses)
    for written in handed(before):
        scene.table.handoff.take(written)
    assert len(list(scene.table)) == 2
    assert scene.counted() == {"adopted": 1, "inherited": 1, "not_taken_over": 1}


@pytest.mark.parametrize("adopted", [False, True])
def test_what_an_edge_has_said_goes_along_also_where_the_dataplane_has_the_flow(
    adopted: bool,
) -> None:
    before = Stages()
    before.connect()
    (at_edge,), (flow,) = before.edge.table, before.cluster.table
    flow.epoch = 2
    after = Stages(before.given)
    if adopted:
        adopt(after.cluster, flow.addresses)
    for written in handed(before.cluster, adopted=adopted):
        after.cluster.table.handoff.take(written)
    (again,) = after.cluster.table
    assert again.introduced == flow.introduced is not None
    assert again.epoch == 2
    # So it follows its client to another edge.
    other = after.new_edge("198.51.100.2")
    moved = other.table.ownership.restore(at_edge.addresses, other.now, epoch=1, own=False)
    (told,) = announced(after.through_edge(other, moved))
    assert (told.client, told.epoch) == (ALICE, 3)


def test_what_the_new_settings_do_not_cover_is_left_and_counted() -> None:
    before = Scene()
    before.connect()
    scene = successor(before, ports=range(21_000, 21_100))
    assert not list(scene.table)
    assert scene.counted() == {"not_taken_over": 1}


def test_a_flow_of_a_connection_goes_along() -> None:
    before = Scene()
    before.client(before.request(), transport=Transport.TCP)
    scene = successor(before)
    (flow,) = scene.table
    assert flow.is_connection
    assert flow.addresses.client == Endpoint(*ALICE)
