"""What an edge, a cluster's relay and a transceiver say to each other."""

from dataclasses import replace

import pytest

from relay.core.admission import Admission
from relay.core.flow import Announce, Command, NoteEdge, State
from relay.core.flowtuple import Source
from relay.core.introductions import LIFETIME, NOTED_FOR
from relay.core.limits import Limits
from relay.core.ownership import MOST_DISPLACED
from relay.core.rates import RateLimit, Rates
from relay.wire.announcement import Announcement, announce
from relay.wire.edgekeys import EdgeKeys
from relay.wire.endpoint import Endpoint
from relay.wire.goodbye import Goodbye
from relay.wire.route import decode
from relay.wire.transport import Transport
from tests.relay.conftest import ALICE, DTLS, JUNK, MALLORY, RTP, VIP, Scene
from tests.relay.core.stages import (
    CLUSTER_KEYS,
    FAR_VIP,
    MEDIA,
    Stages,
    announced,
    sent,
)
from tests.relay.core.test_session_recovery import adopt

GRACE = Limits().goodbye_grace


@pytest.fixture
def stages() -> Stages:
    return Stages()


def flows(scene: Scene) -> list[State]:
    return [flow.state for flow in scene.table]


def test_a_call_goes_through_both_stages(stages: Stages) -> None:
    request = stages.request()
    assert stages.from_client(request)[1:] == [request]
    assert (flows(stages.edge), flows(stages.cluster)) == ([State.PENDING], [State.PENDING])
    answer = stages.cluster.answer(request)
    assert stages.from_transceiver(answer) == [answer]
    assert (flows(stages.edge), flows(stages.cluster)) == ([State.CONFIRMED], [State.CONFIRMED])
    (edge,), (cluster,) = stages.edge.table, stages.cluster.table
    assert edge.addresses.transceiver == cluster.addresses.vip == FAR_VIP
    assert edge.addresses.upstream == cluster.addresses.client
    assert cluster.addresses.transceiver == MEDIA
    for data in (DTLS, RTP):
        assert stages.from_client(data) == [data]
        assert stages.from_transceiver(data) == [data]


def test_the_transceiver_hears_who_the_client_is(stages: Stages) -> None:
    (told,) = announced(stages.from_client(stages.request()))
    (flow,) = stages.cluster.table
    assert (told.client, told.vip, told.transport) == (ALICE, VIP, Transport.UDP)
    assert told.upstream == flow.addresses.upstream


def test_without_a_key_calls_work_and_the_edge_passes_for_the_client() -> None:
    stages = Stages(EdgeKeys())
    (told,) = announced(stages.connect())
    (flow,) = stages.cluster.table
    assert told.client == flow.addresses.client
    assert stages.edge.counted()["not_introduced"] == 1
    assert flows(stages.cluster) == [State.CONFIRMED]


def test_a_goodbye_ends_the_flow_at_both_stages(stages: Stages) -> None:
    stages.connect()
    assert stages.from_transceiver(stages.goodbye()) == []  # nothing for the client
    for scene in (stages.edge, stages.cluster):
        assert scene.counted()["goodbye"] == 1
        scene.wait(GRACE)
    stages.to_edge(stages.cluster.table.sweep(stages.cluster.now))
    stages.edge.table.sweep(stages.edge.now)
    assert (flows(stages.edge), flows(stages.cluster)) == ([], [])


def test_when_its_first_word_is_lost_the_edge_hears_it_as_the_flow_goes(stages: Stages) -> None:
    stages.connect()
    (flow,) = stages.cluster.table
    stages.cluster.table.from_transceiver(stages.goodbye(), flow, stages.cluster.now)  # lost
    stages.cluster.wait(GRACE)
    stages.edge.wait(GRACE)
    stages.to_edge(stages.cluster.table.sweep(stages.cluster.now))
    assert stages.edge.counted()["goodbye"] == 1


@pytest.mark.parametrize("client", [MALLORY, None], ids=["somebody else's", "the edge's own"])
def test_a_goodbye_to_another_client_ends_nothing(stages: Stages, client: object) -> None:
    stages.connect()
    (flow,) = stages.cluster.table
    said = stages.goodbye(MALLORY if client else flow.addresses.client)
    assert stages.from_transceiver(said) == []
    assert stages.cluster.counted()["goodbye_of_another"] == 1
    assert not flow.has_ended


def test_an_agent_that_has_not_heard_of_the_client_passes_the_goodbye_on(stages: Stages) -> None:
    stages.connect()
    (flow,) = stages.cluster.table
    flow.introduced, flow.epoch = None, 0  # as one is that an agent before this one had
    stages.from_transceiver(stages.goodbye())
    assert stages.edge.counted()["goodbye"] == 1


def test_a_goodbye_under_the_clusters_own_key_is_none_to_the_edge(stages: Stages) -> None:
    stages.connect()
    (flow,) = stages.edge.table
    said = Goodbye(flow.addresses.route, ALICE, flow.addresses.upstream)
    assert stages.edge.transceiver(said.serialize(CLUSTER_KEYS), flow) == []
    assert stages.edge.counted()["goodbye_forged"] == 1


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_call_moves_to_another_edge_of_a_higher_epoch_alone(stages: Stages, epoch: int) -> None:
    stages.connect()
    (before,) = stages.edge.table
    other = stages.new_edge("198.51.100.2")
    taken_over = other.table.ownership.restore(
        before.addresses, other.now, epoch=epoch - 1, own=False
    )
    told = announced(stages.through_edge(other, taken_over))
    moved = epoch > 1
    assert [(each.client, each.epoch) for each in told] == ([(ALICE, 2)] if moved else [])
    assert stages.from_client(RTP, edge=other) == ([RTP] if moved else [])
    (flow,) = stages.cluster.table
    assert (flow.addresses.client.host == "198.51.100.2") == moved
    if moved:
        assert stages.from_transceiver(RTP, other) == [RTP]
        stages.from_transceiver(stages.goodbye(), other)
        assert other.counted()["goodbye"] == 1


def test_an_agent_that_was_started_again_hears_from_the_mirror_who_the_client_is(
    stages: Stages,
) -> None:
    stages.connect()
    (before,), (at_edge,) = stages.cluster.table, stages.edge.table
    after = Stages(stages.given)
    adopt(after.cluster, before.addresses)
    stored = before.addresses, after.cluster.now
    said = before.introduced
    assert after.cluster.table.ownership.restore(*stored, epoch=1, own=True, introduced=said) == []
    other = after.new_edge("198.51.100.2")
    moved = other.table.ownership.restore(at_edge.addresses, other.now, epoch=1, own=False)
    (told,) = announced(after.through_edge(other, moved))
    assert (told.client, told.epoch) == (ALICE, 2)


def test_without_a_record_a_check_through_another_edge_is_a_flow_beside(stages: Stages) -> None:
    stages.connect()
    other = stages.new_edge("198.51.100.2")
    (told,) = announced(stages.connect(other))
    assert (told.client, told.epoch) == (ALICE, 1)
    assert flows(stages.cluster) == [State.CONFIRMED, State.CONFIRMED]
    assert stages.from_client(RTP, edge=other) == [RTP]


def test_a_word_that_is_said_again_tells_nobody_anything(stages: Stages) -> None:
    stages.connect()
    (edge,), (cluster,) = stages.edge.table, stages.cluster.table
    stages.cluster.wait(LIFETIME + 1)  # it has been forgotten, and its flow has it
    said = cluster.introduced
    assert said is not None
    again = announce(
        said.client.packed + said.vip.packed + said.upstream.packed,
        decode(said.route),
        said.time,
        stages.given,
    )
    source = Source(edge.addresses.upstream, FAR_VIP)
    assert stages.cluster.table.from_client(again, source, stages.cluster.now) == []
    assert stages.cluster.counted()["introduction_old"] == 1


def test_the_dataplane_hears_of_an_edge_and_not_with_every_client(stages: Stages) -> None:
    def noted(client: Endpoint) -> list[NoteEdge]:
        commands = stages.edge.table.from_client(
            stages.request(), Source(client, VIP), stages.edge.now
        )
        stages.edge.done(commands)
        return [
            each
            for data, flow in sent(stages.edge, commands)
            for each in stages.cluster.table.from_client(
                data, Source(flow.addresses.upstream, FAR_VIP), stages.cluster.now
            )
            if isinstance(each, NoteEdge)
        ]

    (first,) = noted(ALICE)
    assert first.address.host == "198.51.100.1"
    assert noted(MALLORY) == []
    stages.cluster.wait(NOTED_FOR)
    stages.edge.wait(1)
    assert len(noted(ALICE)) == 1


def test_clients_of_an_edge_are_counted_where_they_are() -> None:
    once = RateLimit(1, 1)
    plenty = RateLimit(1_000, 1_000)
    rates = replace(Rates(), ufrag=plenty, prefix=once)
    for keys, told in ((None, 2), (EdgeKeys(), 1)):  # without a key, the edge is the client
        stages = Stages(keys, admission=Admission(rates))
        stages.from_client(stages.request())
        stages.from_client(stages.request(b"else"), MALLORY)
        assert len(flows(stages.cluster)) == told
        stages.from_client(stages.request(b"more"), ALICE._replace(port=1))
        assert len(flows(stages.cluster)) == told


def test_an_announcement_that_comes_late_tells_the_transceiver_as_well(stages: Stages) -> None:
    stages.connect()
    (edge,), (cluster,) = stages.edge.table, stages.cluster.table
    cluster.introduced = None  # as if the check had overtaken it
    for expected in ([ALICE], []):
        stages.edge.wait(1)  # each is of another time
        again: list[Command] = [Announce(edge, stages.edge.now)]
        told = announced(stages.through_edge(stages.edge, again))
        assert [each.client for each in told] == expected
    assert cluster.introduced == Announcement(
        *(ALICE, VIP, edge.addresses.upstream, edge.addresses.route, stages.edge.now.unix)
    )


@pytest.mark.parametrize("data", [JUNK, b"\x0d" * 67])
def test_clients_have_nothing_else_of_that_kind_to_say(stages: Stages, data: bytes) -> None:
    assert stages.cluster.client(data) == []
    assert stages.cluster.counted() == {"unknown_source": 1}


def test_a_connection_introduces_nobody(stages: Stages) -> None:
    assert stages.cluster.client(b"\x0c" * 97, transport=Transport.TCP) == []
    assert stages.cluster.counted() == {"unknown_source": 1}


def test_more_are_noted_than_are_pending() -> None:
    assert Limits().pending + Limits().pending_remote < MOST_DISPLACED
