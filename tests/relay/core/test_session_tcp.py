"""The session table and clients over TCP: the same rules, and flows that end with a connection."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.clocks import LEEWAY
from relay.core.flow import Announce, Flow, State
from relay.core.flowtuple import Source
from relay.core.limits import Limits
from relay.core.session import SessionTable
from relay.wire import stun
from relay.wire.announcement import Announcement
from relay.wire.route import open_ufrag
from relay.wire.transport import Transport
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
TCP = Transport.TCP


def flow_over_tcp(table: SessionTable) -> Flow:
    """The newest of them."""
    return [each for each in table if each.is_connection][-1]


def connect(scene: Scene) -> Flow:
    request = scene.request()
    scene.client(request, transport=TCP)
    flow = flow_over_tcp(scene.table)
    scene.transceiver(scene.answer(request), flow)
    return flow


def test_a_check_and_its_success_confirm_and_nothing_is_installed_or_stored(scene: Scene) -> None:
    request = scene.request()
    assert scene.client(request, transport=TCP) == [
        f"open {ONE}",
        f"announcement -> {ONE}",
        f"request -> {ONE}",
    ]
    flow = flow_over_tcp(scene.table)
    assert flow.state is State.PENDING
    assert scene.transceiver(scene.answer(request), flow) == [f"success -> {ALICE}"]
    assert flow_over_tcp(scene.table).state is State.CONFIRMED
    for data, name in ((DTLS, "DTLS"), (RTP, "RTP"), (ZRTP, "OTHER")):
        assert scene.client(data, transport=TCP) == [f"{name} -> {ONE}"]
        assert scene.transceiver(data, flow) == [f"{name} -> {ALICE}"]


def test_the_same_address_and_port_over_udp_is_another_client(scene: Scene) -> None:
    over_udp, over_tcp = scene.connect(), connect(scene)
    assert [each.state for each in scene.table] == [State.CONFIRMED] * 2
    assert over_udp.addresses.upstream != over_tcp.addresses.upstream
    scene.client(RTP)
    scene.client(DTLS, transport=TCP)
    scene.client(DTLS, transport=TCP)
    assert (over_udp.packets_to_transceiver, over_tcp.packets_to_transceiver) == (2, 3)
    scene.table.disconnected(over_tcp, scene.now)
    assert list(scene.table) == [over_udp]
    assert scene.table.confirmed(ALICE, VIP) is over_udp


def test_a_client_over_tcp_is_not_found_as_one_over_udp(scene: Scene) -> None:
    """So that neither ICMP errors nor what the dataplane says is taken for its flow's."""
    flow = connect(scene)
    assert scene.table.confirmed(ALICE, VIP) is None
    assert words(scene.table.expire([flow.addresses._replace(transport=Transport.UDP)], scene.now))
    assert list(scene.table) == [flow]


def test_its_upstream_ports_are_others_than_those_for_udp(scene: Scene) -> None:
    assert connect(scene).addresses.upstream.port in range(30_000, 30_100)
    assert scene.connect().addresses.upstream.port in range(20_000, 20_100)


def test_the_announcement_says_that_it_is_tcp(scene: Scene) -> None:
    request = scene.request()
    command = scene.table.from_client(request, Source(ALICE, VIP, TCP), scene.now)[1]
    route = open_ufrag(stun.server_ufrag(request), scene.keys).raw
    assert isinstance(command, Announce)
    assert Announcement.parse(scene.table.announcement(command) or b"", scene.keys) == Announcement(
        ALICE, VIP, scene.flow().addresses.upstream, route, scene.now.unix, TCP
    )


@pytest.mark.parametrize("data", [DTLS, RTP, JUNK], ids=["dtls", "rtp", "junk"])
def test_what_is_no_check_opens_nothing_and_the_mirror_is_not_asked(
    scene: Scene, data: bytes
) -> None:
    assert scene.client(data, transport=TCP) == []
    assert scene.counted() == {"unknown_source": 1}
    scene.client(scene.request(), transport=TCP)
    assert scene.client(data, transport=TCP) == []  # neither while it is pending


def test_forged_expired_and_unknown_routes_open_nothing(scene: Scene) -> None:
    good, expired = scene.ufrag(), scene.ufrag(lifetime=1.0)
    old_generation = scene.ufrag(FIRST._replace(generation=2))
    scene.wait(LEEWAY + 200.0)
    for ufrag in (good[:-1] + ("A" if good[-1] != "A" else "B"), old_generation):
        assert scene.client(scene.request(ufrag), transport=TCP) == []
    assert scene.client(scene.request(expired), transport=TCP) == ["alarm"]
    assert list(scene.table) == []
    assert scene.counted() == {"bad_route": 1, "no_transceiver": 1, "route_expired": 1}


def test_one_ufrag_has_the_same_few_places_over_both_transports(scene: Scene) -> None:
    ufrag = scene.ufrag()
    for port in range(1000, 1010):
        scene.client(scene.request(ufrag), MALLORY._replace(port=port), TCP)
        scene.client(scene.request(ufrag), MALLORY._replace(port=port))
    assert len(list(scene.table)) == Limits().pending_per_route


def test_who_connects_again_and_again_gets_no_more_ports_out_of_a_ufrag(scene: Scene) -> None:
    """A port that is given back rests for minutes, so a flow that is closed must cost as much."""
    ufrag, opened = scene.ufrag(), 0
    for port in range(1000, 1050):
        if scene.client(scene.request(ufrag), MALLORY._replace(port=port), TCP):
            opened += 1
            scene.table.disconnected(flow_over_tcp(scene.table), scene.now)
    assert opened == Limits().pending_per_route
    assert list(scene.table) == []
    scene.wait(Limits().pending_life + 1)
    assert scene.client(scene.request(ufrag), transport=TCP)[0] == f"open {ONE}"


def test_nor_does_who_knows_the_password_as_well(scene: Scene) -> None:
    opened = 0
    for port in range(1000, 1050):
        request = scene.request()
        if scene.client(request, MALLORY._replace(port=port), TCP):
            opened += 1
            flow = flow_over_tcp(scene.table)
            scene.transceiver(scene.answer(request), flow)
            assert flow.state is State.CONFIRMED
            scene.table.disconnected(flow, scene.now)
    assert opened == Limits().pending_per_route


def test_the_flow_ends_with_its_connection_and_its_port_rests(scene: Scene) -> None:
    flow = connect(scene)
    upstream = flow.addresses.upstream
    assert words(scene.table.disconnected(flow, scene.now)) == [f"close {ONE}"]
    assert list(scene.table) == []
    assert scene.counted() == {"confirmed": 1, "disconnected": 1}
    assert connect(scene).addresses.upstream != upstream


def test_an_answer_that_comes_after_the_connection_confirms_nothing(scene: Scene) -> None:
    request = scene.request()
    scene.client(request, transport=TCP)
    flow = flow_over_tcp(scene.table)
    scene.table.disconnected(flow, scene.now)
    assert list(scene.table) == []


def test_another_session_on_the_same_connection_replaces_the_first_on_success(
    scene: Scene,
) -> None:
    connect(scene)
    request = scene.request(scene.ufrag(SECOND))
    assert scene.client(request, transport=TCP)[0] == f"open {TWO}"
    assert scene.client(RTP, transport=TCP) == [f"RTP -> {ONE}"]
    assert scene.transceiver(scene.answer(request), flow_over_tcp(scene.table)) == [
        f"close {ONE}",
        f"success -> {ALICE}",
    ]
    assert scene.client(RTP, transport=TCP) == [f"RTP -> {TWO}"]


@pytest.mark.parametrize("dataplane_forwards", [True, False])
def test_a_silent_transceiver_ends_it_whatever_forwards_the_others(
    scene: Scene, dataplane_forwards: bool
) -> None:
    flow = connect(scene)
    scene.wait(Limits().idle - 1)
    scene.client(RTP, transport=TCP)
    assert scene.table.sweep(scene.now, dataplane_forwards=dataplane_forwards) == []
    scene.wait(2)
    commands = scene.table.sweep(scene.now, dataplane_forwards=dataplane_forwards)
    assert words(commands) == [f"close {ONE}"]
    assert flow not in list(scene.table)


def test_it_was_watched_here_while_a_dataplane_forwarded_others(scene: Scene) -> None:
    flow = connect(scene)
    scene.wait(Limits().idle - 1)
    assert scene.table.sweep(scene.now, dataplane_forwards=True) == []
    scene.wait(2)
    assert words(scene.table.sweep(scene.now)) == [f"close {ONE}"]
    assert flow not in list(scene.table)


def test_it_counts_among_all_flows() -> None:
    scene = Scene(limits=Limits(flows=1))
    connect(scene)
    request = scene.request()
    scene.client(request, MALLORY)
    commands = scene.transceiver(scene.answer(request), scene.flow(MALLORY))
    assert commands == ["alarm", f"close {ONE}"]
    assert scene.client(RTP, transport=TCP) == [f"RTP -> {ONE}"]


def test_a_relay_without_ports_for_tcp_opens_nothing() -> None:
    scene = Scene(tcp_ports=range(30_000, 30_001))
    connect(scene)
    assert scene.client(scene.request(), MALLORY, TCP) == []
    assert scene.counted()["no_upstream_port"] == 1
    assert scene.client(scene.request(), MALLORY)[0] == f"open {ONE}"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=80)), max_size=20))
def test_no_bytes_of_anybody_raise_or_confirm(datagrams: list[tuple[bool, bytes]]) -> None:
    scene = Scene()
    scene.client(scene.request(), transport=TCP)
    flow = flow_over_tcp(scene.table)
    for of_client, data in datagrams:
        if of_client:
            scene.client(data, MALLORY, TCP)
        else:
            scene.transceiver(data, flow)
    assert [each.state for each in scene.table] == [State.PENDING]
