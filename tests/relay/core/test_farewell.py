"""A transceiver's goodbye: whose it must be, and what it does."""

from typing import Any

import pytest

from relay.core.flow import Flow
from relay.core.limits import Limits
from relay.wire.goodbye import Goodbye
from relay.wire.keys import KeyRing
from relay.wire.route import read_ufrag
from relay.wire.transport import Transport
from tests.relay.conftest import ADDRESSES, ALICE, FIRST, MALLORY, RTP, SECOND, Scene, words

ONE, TWO = (str(ADDRESSES[target]) for target in (FIRST, SECOND))
GRACE = Limits().goodbye_grace


def goodbye(flow: Flow) -> Goodbye:
    parts = flow.addresses
    return Goodbye(parts.route, parts.client, parts.upstream)


def say(scene: Scene, flow: Flow, said: Goodbye) -> list[str]:
    return scene.transceiver(said.serialize(scene.keys), flow)


def test_it_ends_the_flow_a_moment_later(scene: Scene) -> None:
    flow = scene.connect()
    # The kernel forwards it no longer, so that the agent hears of the client's next call.
    assert say(scene, flow, goodbye(flow)) == [f"remove {ONE}"]
    assert say(scene, flow, goodbye(flow)) == []
    assert words(scene.table.sweep(scene.now, dataplane_forwards=True)) == []
    assert scene.client(RTP) == [f"RTP -> {ONE}"]  # what is still under way
    scene.wait(GRACE)
    assert words(scene.table.sweep(scene.now, dataplane_forwards=True)) == [
        f"remove {ONE}",
        f"close {ONE}",
        f"forget {ONE}",
    ]
    assert scene.states() == []
    assert {"goodbye", "ended"} < scene.counted().keys()


def test_it_ends_the_flow_of_a_connection(scene: Scene) -> None:
    request = scene.request()
    scene.client(request, transport=Transport.TCP)
    (flow,) = scene.table
    scene.transceiver(scene.answer(request), flow)
    assert say(scene, flow, goodbye(flow)) == []
    scene.wait(GRACE)
    assert words(scene.table.sweep(scene.now)) == [f"close {ONE}"]


@pytest.mark.parametrize("wrong", ["key", "client", "upstream", "route", "cut"])
def test_what_is_forged_or_of_another_flow_does_nothing(scene: Scene, wrong: str) -> None:
    flow = scene.connect()
    good = goodbye(flow)
    possible: dict[str, dict[str, Any]] = {
        "client": {"client": MALLORY},
        "upstream": {"upstream": good.upstream._replace(port=1)},
        "route": {"route": read_ufrag(scene.ufrag(nonce=b"next")).raw},
    }
    changes = possible.get(wrong, {})
    fields = {name: getattr(good, name) for name in ("route", "client", "upstream")}
    data = Goodbye(**(fields | changes)).serialize(
        KeyRing({0: bytes(32)}, 0) if wrong == "key" else scene.keys
    )
    assert scene.transceiver(data[:-1] if wrong == "cut" else data, flow) == []
    scene.wait(GRACE)
    assert words(scene.table.sweep(scene.now)) == []
    assert "goodbye" not in scene.counted()


def test_one_that_was_overheard_does_not_end_the_next_flow(scene: Scene) -> None:
    flow = scene.connect()
    overheard = goodbye(flow)
    say(scene, flow, overheard)
    scene.wait(GRACE)
    scene.table.sweep(scene.now)
    scene.pool.claim(flow.addresses.packed_upstream)  # a relay that was started again meanwhile
    scene.pool.release(flow.addresses.packed_upstream, scene.now.monotonic, 0.0)
    again = scene.connect(nonce=b"next")
    assert again.addresses._replace(route=flow.addresses.route) == flow.addresses
    say(scene, again, overheard)
    assert scene.counted()["goodbye_of_another"] == 1


@pytest.mark.parametrize("step", [-86_400.0, -300.0, 3600.0, 86_400.0])
def test_clocks_do_not_matter(scene: Scene, step: float) -> None:
    flow = scene.connect()
    scene.now = scene.now._replace(unix=scene.now.unix + step)
    assert say(scene, flow, goodbye(flow)) == [f"remove {ONE}"]


def test_the_address_is_free_for_another_session_at_once(scene: Scene) -> None:
    flow = scene.connect()
    say(scene, flow, goodbye(flow))
    assert scene.connect(target=SECOND).target == SECOND
    assert scene.client(RTP) == [f"RTP -> {TWO}"]
    assert scene.counted()["rebound"] == 1


def test_another_call_to_the_same_transceiver_has_a_flow_of_its_own(scene: Scene) -> None:
    old = scene.connect()
    said = goodbye(old)
    say(scene, old, said)
    scene.wait(0.1)
    request = scene.request(scene.ufrag(nonce=b"next"))
    assert scene.client(request)[0] == f"open {ONE}"
    assert scene.client(RTP) == [f"RTP -> {ONE}"]  # late, of the call before
    new = scene.flow()
    assert scene.transceiver(scene.answer(request), new) == [
        f"install {ONE}",
        f"close {ONE}",
        f"remove {ONE}",
        f"store {ONE}",
        f"success -> {ALICE}",
    ]
    assert list(scene.table) == [new]
    say(scene, new, said)  # overheard: it is of the call before
    assert scene.counted()["goodbye_of_another"] == 1
    scene.wait(GRACE)
    assert words(scene.table.sweep(scene.now)) == []
