"""The session table, as dialogues: what comes in, and the commands that come out."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.clocks import LEEWAY
from relay.core.admission import Admission
from relay.core.flow import Announce, Flow, Instant, State
from relay.core.flowtuple import Source
from relay.core.limits import Limits
from relay.core.ports import QUARANTINE, SHORT_REST
from relay.core.rates import RateLimit, Rates
from relay.wire import stun
from relay.wire.announcement import Announcement
from relay.wire.keys import KeyRing
from relay.wire.route import open_ufrag
from tests.relay.conftest import (
    ADDRESSES,
    ALICE,
    DTLS,
    FIRST,
    JUNK,
    MALLORY,
    RTP,
    SECOND,
    VIP,
    ZRTP,
    Scene,
    words,
)

ONE, TWO = (str(ADDRESSES[target]) for target in (FIRST, SECOND))


def test_first_check_opens_a_pending_flow_and_success_confirms_it(scene: Scene) -> None:
    request = scene.request()
    assert scene.client(request) == [f"open {ONE}", f"announcement -> {ONE}", f"request -> {ONE}"]
    assert scene.states() == [(ALICE, State.PENDING)]
    # Installed before the success is forwarded: no packet of the client can come too early.
    assert scene.transceiver(scene.answer(request), scene.flow()) == [
        f"install {ONE}",
        f"store {ONE}",
        f"success -> {ALICE}",
    ]
    assert scene.states() == [(ALICE, State.CONFIRMED)]


@pytest.mark.parametrize("size", [324, 900, 1000])
def test_a_check_with_dtls_inside_passes_while_the_flow_is_pending(scene: Scene, size: int) -> None:
    """SPED (draft-hancke-webrtc-sped): checks of Chromium are 1,010 bytes long."""
    username = (stun.Attribute.USERNAME, f"{scene.ufrag()}:peer".encode())
    hello = (stun.Attribute.DTLS_IN_STUN, bytes([22, 254, 255]) + bytes(size))
    for number in range(3):
        request = stun.Message(
            stun.MessageClass.REQUEST, stun.BINDING, bytes([number] * 12), (username, hello)
        ).serialize(b"password")
        assert scene.client(request)[-1] == f"request -> {ONE}"
        assert scene.states() == [(ALICE, State.PENDING)]
    done = scene.transceiver(scene.answer(request), scene.flow())
    assert done[-1] == f"success -> {ALICE}"


def test_confirmed_flow_carries_everything_both_ways(scene: Scene) -> None:
    flow = scene.connect()
    for data, name in ((DTLS, "DTLS"), (RTP, "RTP"), (ZRTP, "OTHER")):
        assert scene.client(data) == [f"{name} -> {ONE}"]
        assert scene.transceiver(data, flow) == [f"{name} -> {ALICE}"]
    assert scene.client(scene.request()) == [f"request -> {ONE}"]
    assert (flow.packets_to_transceiver, flow.packets_to_client) == (5, 4)


def test_how_long_a_flow_took_to_be_confirmed_is_counted(scene: Scene) -> None:
    request = scene.request()
    scene.client(request)
    scene.wait(0.03)
    scene.transceiver(scene.answer(request), scene.flow())
    assert scene.table.setups.count == 1
    assert scene.table.setups.sum == pytest.approx(0.03)


def test_announcement_tells_who_the_client_is(scene: Scene) -> None:
    request = scene.request()
    command = scene.table.from_client(request, Source(ALICE, VIP), scene.now)[1]
    assert isinstance(command, Announce)
    announcement = Announcement.parse(scene.table.announcement(command) or b"", scene.keys)
    route = open_ufrag(stun.server_ufrag(request), scene.keys).raw
    upstream = scene.flow().addresses.upstream
    assert announcement == Announcement(ALICE, VIP, upstream, route, scene.now.unix)


def test_each_check_of_a_pending_flow_is_announced_again(scene: Scene) -> None:
    scene.client(scene.request())
    assert scene.client(scene.request()) == [f"announcement -> {ONE}", f"request -> {ONE}"]


@pytest.mark.parametrize("data", [DTLS, RTP, JUNK], ids=["dtls", "rtp", "junk"])
def test_pending_flow_carries_nothing_but_stun(scene: Scene, data: bytes) -> None:
    scene.client(scene.request())
    assert [each for each in scene.client(data) if "->" in each] == []
    assert scene.transceiver(data, scene.flow()) == []
    assert scene.states() == [(ALICE, State.PENDING)]


@pytest.mark.parametrize(
    ("message_class", "method", "same_transaction"),
    [
        (stun.MessageClass.ERROR, stun.BINDING, True),
        (stun.MessageClass.REQUEST, stun.BINDING, True),
        (stun.MessageClass.SUCCESS, 0x003, True),
        (stun.MessageClass.SUCCESS, stun.BINDING, False),
    ],
    ids=["error", "request", "allocate-success", "success-of-nothing-asked"],
)
def test_only_the_success_of_an_own_check_confirms(
    scene: Scene, message_class: stun.MessageClass, method: int, same_transaction: bool
) -> None:
    request = scene.request()
    scene.client(request)
    asked = request if same_transaction else scene.request()
    forwarded = scene.transceiver(scene.answer(asked, message_class, method), scene.flow())
    assert [each.split(" ")[0] for each in forwarded] == [message_class.name.lower()]
    assert scene.states() == [(ALICE, State.PENDING)]


@pytest.mark.parametrize(
    ("data", "commands", "counted"),
    [
        (DTLS, [f"recall {ALICE}"], {"unknown_source": 1}),
        (RTP, [f"recall {ALICE}"], {"unknown_source": 1}),
        (JUNK, [], {"unknown_source": 1}),
        (b"", [], {"unknown_source": 1}),
        (b"\0\1\0\0", [], {"malformed_stun": 1}),
        (
            stun.Message(stun.MessageClass.INDICATION, stun.BINDING, bytes(12)).serialize(),
            [],
            {"unknown_source": 1},
        ),
        (
            stun.Message(stun.MessageClass.REQUEST, stun.BINDING, bytes(12)).serialize(),
            [],
            {"malformed_stun": 1},
        ),
    ],
    ids=["dtls", "rtp", "junk", "empty", "cut-stun", "indication", "no-username"],
)
def test_unknown_source_opens_nothing(
    scene: Scene, data: bytes, commands: list[str], counted: dict[str, int]
) -> None:
    assert scene.client(data) == commands
    assert (scene.states(), scene.counted()) == ([], counted)


def test_forged_expired_and_unknown_routes_open_nothing(scene: Scene) -> None:
    good = scene.ufrag()
    stranger = Scene(keys=KeyRing({0: bytes(32)}, 0)).ufrag()
    expired = scene.ufrag(lifetime=1.0)
    old_generation = scene.ufrag(FIRST._replace(generation=2))
    scene.wait(LEEWAY + 200.0)
    for ufrag in (good[:-1] + ("A" if good[-1] != "A" else "B"), stranger, old_generation):
        assert scene.client(scene.request(ufrag)) == []
    assert scene.client(scene.request(expired)) == ["alarm"]  # it is genuine: is a clock wrong?
    assert scene.states() == []
    assert scene.counted() == {"bad_route": 2, "no_transceiver": 1, "route_expired": 1}


def test_what_the_relay_alone_says_stays_with_it(scene: Scene) -> None:
    flow = scene.connect()
    for data in (JUNK, b"\x04", b"\x0d", b"\x7f"):
        assert scene.client(data) == []
        assert scene.transceiver(data, flow) == []
    assert (scene.counted()["control_from_client"], scene.counted()["control"]) == (4, 4)


def test_whatever_stun_names_no_other_target_follows_a_confirmed_flow(scene: Scene) -> None:
    ufrag = scene.ufrag()
    flow = scene.connect()
    forged = ufrag[:-1] + ("A" if ufrag[-1] != "A" else "B")
    retired = Scene(keys=KeyRing({5: bytes(range(32))}, 5)).ufrag()  # slot 5 holds no key here
    for named in (forged, retired, "short", ufrag[:-1] + "!"):
        assert scene.client(scene.request(named)) == [f"request -> {ONE}"]
    whole = scene.request()
    for data in (b"\x00", whole[:-1], whole[:4] + bytes(4) + whole[8:], b"\x00\x01"):
        command = scene.table.from_client(data, Source(ALICE, VIP), scene.now)
        assert [(each.flow, each.data) for each in command] == [(flow, data)]  # type: ignore[union-attr]


def test_a_route_to_another_target_is_verified_also_on_a_confirmed_flow(scene: Scene) -> None:
    scene.connect()
    ufrag = scene.ufrag(SECOND)
    forged = ufrag[:-1] + ("A" if ufrag[-1] != "A" else "B")
    assert scene.client(scene.request(forged)) == []
    assert scene.counted()["bad_route"] == 1
    assert scene.client(scene.request(ufrag))[0] == f"open {TWO}"


def test_expired_route_goes_on_in_a_confirmed_flow(scene: Scene) -> None:
    ufrag = scene.ufrag(lifetime=60.0)
    request = scene.request(ufrag)
    scene.client(request)
    scene.transceiver(scene.answer(request), scene.flow())
    scene.wait(LEEWAY + 250.0)
    assert scene.client(scene.request(ufrag)) == [f"request -> {ONE}"]


@pytest.mark.parametrize("off", [-LEEWAY, LEEWAY])
def test_a_route_of_a_minute_opens_a_flow_where_clocks_are_five_minutes_off(
    scene: Scene, off: float
) -> None:
    ufrag = scene.ufrag(lifetime=60.0)
    scene.now = scene.now._replace(unix=scene.now.unix + off)
    assert f"request -> {ONE}" in scene.client(scene.request(ufrag))


@pytest.mark.parametrize("step", [-86_400.0, -3_600.0, 3_600.0, 86_400.0])
def test_a_clock_that_steps_harms_no_flow_and_no_announcement(scene: Scene, step: float) -> None:
    flow = scene.connect()
    before = told(scene, flow)
    scene.now = scene.now._replace(unix=scene.now.unix + step)
    assert scene.client(RTP) == [f"RTP -> {ONE}"]
    assert words(scene.table.sweep(scene.now)) == []
    after = told(scene, flow)
    assert after.time > before.time  # or the transceiver would take it for an old one
    assert told(scene, flow).time > after.time


def told(scene: Scene, flow: Flow) -> Announcement:
    said = scene.table.announcement(Announce(flow, scene.now))
    return Announcement.parse(said or b"", scene.keys)


def test_sniffed_ufrag_from_elsewhere_leaves_the_victim_alone(scene: Scene) -> None:
    ufrag = scene.ufrag()
    request = scene.request(ufrag)
    scene.client(request)
    scene.transceiver(scene.answer(request), scene.flow())
    scene.client(scene.request(ufrag), MALLORY)
    assert scene.states() == [(ALICE, State.CONFIRMED), (MALLORY, State.PENDING)]
    assert scene.client(RTP) == [f"RTP -> {ONE}"]


def test_one_ufrag_makes_only_so_many_pending_flows(scene: Scene) -> None:
    ufrag = scene.ufrag()
    sources = [MALLORY._replace(port=port) for port in range(1000, 1020)]
    for source in sources:
        scene.client(scene.request(ufrag), source)
    limit = Limits().pending_per_route
    assert len(scene.states()) == limit
    assert scene.counted() == {"pending_replaced": len(sources) - limit}


def test_checks_that_come_too_soon_do_nothing_and_are_counted() -> None:
    once, none = RateLimit(1, 1), RateLimit(1, 0)
    rates = replace(Rates(), ufrag=once, stun_repeated=none)
    scene = Scene(admission=Admission(rates))
    ufrag = scene.ufrag()
    assert scene.client(scene.request(ufrag)) != []
    assert scene.client(scene.request(ufrag)) != []  # it has two buckets
    assert scene.client(scene.request(ufrag), MALLORY) == []
    assert scene.client(scene.request(ufrag + "x"), MALLORY) == []  # it counts for no ufrag
    assert scene.counted() == {"stun_ufrag_limited": 1, "bad_route": 1}
    scene.wait(1.0)
    assert scene.client(scene.request(ufrag)) != []


def test_a_flow_that_gives_way_to_another_frees_its_port_at_once() -> None:
    limits = Limits(pending_per_route=2)
    scene = Scene(ports=range(20_000, 20_002), limits=limits)
    for number in range(20):
        opened = scene.client(scene.request(), MALLORY._replace(port=1000 + number))
        assert opened[-3:] == [f"open {ONE}", f"announcement -> {ONE}", f"request -> {ONE}"]
        assert opened[:-3] == ([f"close {ONE}"] if number >= limits.pending_per_route else [])
    assert scene.pool.busy(scene.now.monotonic) == 1.0


def test_a_flow_that_its_transceiver_has_answered_gives_way_to_nobody() -> None:
    scene = Scene(limits=Limits(pending_per_route=1))
    request = scene.request()
    scene.client(request)
    scene.transceiver(scene.answer(request, stun.MessageClass.ERROR), scene.flow())
    assert scene.client(scene.request(), MALLORY) == []
    assert scene.counted() == {"pending_per_route_full": 1}


def test_confirmed_flows_count_among_those_of_their_ufrag() -> None:
    scene = Scene(limits=Limits(flows_per_route=3))
    ufrag = scene.ufrag()
    for port in range(1000, 1005):
        source = MALLORY._replace(port=port)
        request = scene.request(ufrag)
        if scene.client(request, source):
            scene.transceiver(scene.answer(request), scene.flow(source))
    assert [state for _, state in scene.states()] == [State.CONFIRMED] * 3
    assert scene.counted()["route_full"] == 2
    assert scene.client(scene.request(scene.ufrag(nonce=b"else")))[0] == f"open {ONE}"


def test_a_pending_flow_lives_so_long_whatever_its_client_does(scene: Scene) -> None:
    scene.client(scene.request())
    for _ in range(5):
        scene.wait(5.0)
        scene.client(scene.request())
        assert words(scene.table.sweep(scene.now)) == []
    scene.wait(5.0)
    assert words(scene.table.sweep(scene.now)) == [f"close {ONE}"]


@pytest.mark.parametrize(("answered", "rest"), [(False, SHORT_REST), (True, QUARANTINE)])
def test_a_port_that_no_transceiver_answered_rests_shortly(answered: bool, rest: float) -> None:
    scene = Scene(ports=range(20_000, 20_001))
    request = scene.request()
    scene.client(request)
    if answered:
        scene.transceiver(scene.answer(request, stun.MessageClass.ERROR), scene.flow())
    scene.wait(Limits().pending_life + 1)
    scene.table.sweep(scene.now)
    scene.wait(rest - 0.1)
    assert scene.client(scene.request()) == []
    scene.wait(0.1)
    assert scene.client(scene.request())[0] == f"open {ONE}"


def test_what_is_nearly_full_is_said_once() -> None:
    scene = Scene(limits=Limits(flows=5))
    for port in range(1000, 1004):
        assert words(scene.table.sweep(scene.now)) == []
        scene.connect(MALLORY._replace(port=port))
    assert words(scene.table.sweep(scene.now)) == ["alarm"]
    assert words(scene.table.sweep(scene.now)) == []
    assert scene.table.used(scene.now) == {
        "flows": (4, 5),
        "pending": (0, Limits().pending),
        "ports": (4, 200),
    }


def test_full_pending_table_takes_nothing_from_confirmed_flows() -> None:
    scene = Scene(limits=Limits(pending=2))
    scene.connect()
    for number in range(4):
        source = MALLORY._replace(port=1000 + number)
        scene.client(scene.request(scene.ufrag(nonce=bytes([number] * 4))), source)
    assert scene.counted()["pending_replaced"] == 2
    assert scene.client(RTP) == [f"RTP -> {ONE}"]


def test_full_table_refuses_the_new_and_evicts_nobody() -> None:
    scene = Scene(limits=Limits(flows=1))
    scene.connect()
    request = scene.request()
    scene.client(request, MALLORY)
    assert scene.transceiver(scene.answer(request), scene.flow(MALLORY)) == [
        "alarm",
        f"close {ONE}",
    ]
    assert scene.states() == [(ALICE, State.CONFIRMED)]
    assert scene.counted()["refused_full"] == 1


def test_full_table_refuses_to_rebind_and_keeps_the_flow() -> None:
    scene = Scene(limits=Limits(flows=1))
    scene.connect()
    scene.wait(Limits().address_kept)
    request = scene.request(scene.ufrag(SECOND))
    scene.client(request)
    answer = scene.answer(request)
    assert scene.transceiver(answer, scene.flow(target=SECOND)) == ["alarm", f"close {TWO}"]
    assert scene.client(RTP) == [f"RTP -> {ONE}"]


# A new session on the same address


def test_check_for_another_transceiver_rebinds_on_success_only(scene: Scene) -> None:
    old = scene.connect()
    scene.wait(Limits().address_kept)
    request = scene.request(scene.ufrag(SECOND))
    assert scene.client(request) == [f"open {TWO}", f"announcement -> {TWO}", f"request -> {TWO}"]
    assert scene.transceiver(scene.answer(request), scene.flow(target=SECOND)) == [
        f"install {TWO}",
        f"close {ONE}",
        f"remove {ONE}",
        f"store {TWO}",
        f"success -> {ALICE}",
    ]
    assert scene.client(RTP) == [f"RTP -> {TWO}"]
    assert old.addresses.upstream != scene.flow(target=SECOND).addresses.upstream


@pytest.mark.parametrize("by_dataplane", [False, True])
def test_an_address_belongs_to_the_session_that_lives_there(
    scene: Scene, by_dataplane: bool
) -> None:
    """Whoever claims it for a session of their own is answered, and moves nothing."""
    flow = scene.connect()
    kept = Limits().address_kept
    for _ in range(3):
        scene.wait(kept - 1)
        if by_dataplane:
            scene.heard[flow.addresses.from_client] = scene.now.monotonic
        else:
            scene.client(RTP)
        request = scene.request(scene.ufrag(SECOND))
        scene.client(request)
        answered = scene.transceiver(scene.answer(request), scene.flow(target=SECOND))
        assert answered == [f"success -> {ALICE}"]
        assert scene.client(RTP) == [f"RTP -> {ONE}"]
    assert scene.counted()["address_in_use"] == 3
    assert scene.flow(target=SECOND).state is State.PENDING


def test_rebinding_that_is_refused_leaves_the_flow(scene: Scene) -> None:
    scene.connect()
    request = scene.request(scene.ufrag(SECOND))
    scene.client(request)
    error = scene.answer(request, stun.MessageClass.ERROR)
    assert scene.transceiver(error, scene.flow(target=SECOND)) == [f"error -> {ALICE}"]
    scene.wait(Limits().pending_life + 1)
    assert words(scene.table.sweep(scene.now)) == [f"close {TWO}"]
    assert scene.client(RTP) == [f"RTP -> {ONE}"]


def test_new_ufrag_of_the_same_transceiver_follows_the_flow(scene: Scene) -> None:
    scene.connect()
    assert scene.client(scene.request(scene.ufrag(nonce=b"new!"))) == [f"request -> {ONE}"]


def test_forged_ufrag_on_a_confirmed_flow_goes_nowhere(scene: Scene) -> None:
    scene.connect()
    assert scene.client(scene.request("A" * 28)) == []
    assert scene.client(RTP) == [f"RTP -> {ONE}"]


def test_keepalive_indication_follows_the_flow(scene: Scene) -> None:
    scene.connect()
    indication = stun.Message(stun.MessageClass.INDICATION, stun.BINDING, bytes(12)).serialize()
    assert scene.client(indication) == [f"indication -> {ONE}"]


# Time


def test_silent_pending_flow_expires(scene: Scene) -> None:
    scene.client(scene.request())
    scene.wait(Limits().pending_life - 1)
    assert words(scene.table.sweep(scene.now)) == []
    scene.wait(2)
    assert words(scene.table.sweep(scene.now)) == [f"close {ONE}"]
    assert scene.states() == []


def test_flow_outlives_119_seconds_of_silence(scene: Scene) -> None:
    scene.connect()
    scene.wait(119)
    scene.table.sweep(scene.now)
    assert scene.client(RTP) == [f"RTP -> {ONE}"]


def test_transceiver_keeps_a_flow_alive_and_the_client_alone_does_not(scene: Scene) -> None:
    flow = scene.connect()
    for _ in range(4):
        scene.wait(100)
        scene.transceiver(RTP, flow)
        scene.table.sweep(scene.now)
    assert scene.states() == [(ALICE, State.CONFIRMED)]
    for _ in range(3):
        scene.wait(100.1)
        scene.client(RTP)
    assert words(scene.table.sweep(scene.now)) == [f"remove {ONE}", f"close {ONE}", f"forget {ONE}"]
    assert scene.states() == []


def test_packets_that_only_the_kernel_saw_keep_a_flow_alive(scene: Scene) -> None:
    flow = scene.connect()
    scene.wait(301)
    assert words(scene.table.sweep(scene.now, dataplane_forwards=True)) == [f"store {ONE}"]
    assert scene.states() == [(ALICE, State.CONFIRMED)]
    assert words(scene.table.expire([flow.addresses], scene.now)) == [
        f"remove {ONE}",
        f"close {ONE}",
        f"forget {ONE}",
    ]
    assert scene.states() == []


def test_packets_that_only_the_agent_saw_keep_a_flow_alive(scene: Scene) -> None:
    flow = scene.connect()
    scene.wait(301)
    scene.transceiver(RTP, flow)
    assert scene.table.expire([flow.addresses], scene.now) == []
    assert scene.states() == [(ALICE, State.CONFIRMED)]


def test_when_the_dataplane_forwards_no_more_nobody_has_been_silent_for_long() -> None:
    """A quiet call was heard there a moment ago, perhaps; who stays silent expires all the same."""
    scene = Scene(limits=Limits(idle=300.0))
    scene.connect()
    scene.wait(1000)
    scene.table.sweep(scene.now, dataplane_forwards=True)
    scene.wait(5)
    for _ in range(60):  # it has lost its delivery, or was unloaded
        assert scene.counted().get("expired") is None
        scene.table.sweep(scene.now)
        scene.wait(5)
    scene.wait(1)
    scene.table.sweep(scene.now)
    assert scene.counted()["expired"] == 1


def test_nor_when_it_has_forwarded_between_two_sweeps_only(scene: Scene) -> None:
    scene.connect()
    scene.wait(299)
    scene.table.sweep(scene.now)
    scene.table.unwatched()
    scene.wait(5)
    scene.table.sweep(scene.now)
    assert scene.states() == [(ALICE, State.CONFIRMED)]


def test_live_flow_is_stored_again_now_and_then(scene: Scene) -> None:
    flow = scene.connect()
    scene.wait(Limits().store_every + 1)
    scene.transceiver(RTP, flow)
    assert words(scene.table.sweep(scene.now)) == [f"store {ONE}"]
    assert words(scene.table.sweep(scene.now)) == []


def test_upstream_port_rests_after_use_and_comes_back_to_its_flow(scene: Scene) -> None:
    first = scene.connect().addresses.upstream
    scene.wait(301)
    scene.table.sweep(scene.now)
    assert scene.connect().addresses.upstream != first
    scene.wait(301)
    scene.table.sweep(scene.now)
    assert scene.connect().addresses.upstream == first


# Ports


def test_no_port_left_refuses_new_flows() -> None:
    scene = Scene(ports=range(20_000, 20_001))
    scene.connect()
    assert scene.client(scene.request(), MALLORY) == []
    assert scene.counted()["no_upstream_port"] == 1


def test_unix_time_that_jumps_expires_no_confirmed_flow(scene: Scene) -> None:
    scene.connect()
    for jump in (300.0, -300.0, 86_400.0, -86_400.0):
        scene.now = Instant(scene.now.monotonic + 1, scene.now.unix + jump)
        scene.table.sweep(scene.now)
        assert scene.client(RTP) == [f"RTP -> {ONE}"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=80)), max_size=20))
def test_no_bytes_of_anybody_raise_or_confirm(datagrams: list[tuple[bool, bytes]]) -> None:
    scene = Scene()
    scene.client(scene.request())
    flow = scene.flow()
    for of_client, data in datagrams:
        if of_client:
            scene.client(data, MALLORY)
        else:
            scene.transceiver(data, flow)
    assert scene.states() == [(ALICE, State.PENDING)]
