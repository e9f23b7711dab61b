"""What edges say of clients, and what is believed of it."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from relay.core.flow import Flow, Instant, State
from relay.core.flowtuple import FlowTuple, Source
from relay.core.introductions import LIFETIME, MOST, MOST_EDGES, NOTED_FOR, Introductions
from relay.wire.announcement import Announcement, announce
from relay.wire.edgekeys import ClusterSide, EdgeKeys
from relay.wire.endpoint import Endpoint
from relay.wire.goodbye import Goodbye
from relay.wire.keys import AnnouncementKeys, KeyRing
from relay.wire.keysource import Role
from relay.wire.route import mint
from tests.relay.conftest import ALICE, MALLORY, UNIX, VIP
from tests.relay.core.stages import CLUSTER_KEYS, FAR, FAR_VIP, MEDIA

NOW = Instant(1000.0, UNIX)
ROUTE = mint(FAR, CLUSTER_KEYS, now=UNIX, lifetime=3600, nonce=b"abcd")
EDGE = Endpoint("198.51.100.1", 20_000)
SOURCE = Source(EDGE, FAR_VIP)
KEYS = ClusterSide(CLUSTER_KEYS)


def said(
    *,
    upstream: Endpoint = EDGE,
    time: float = UNIX,
    keys: AnnouncementKeys = KEYS,
    client: Endpoint = ALICE,
    epoch: int = 1,
) -> bytes:
    ends = client.packed + VIP.packed + upstream.packed
    return announce(ends, ROUTE, time, keys, epoch=epoch)


@pytest.fixture
def introductions() -> Introductions:
    return Introductions(CLUSTER_KEYS)


def test_what_an_edge_says_waits_for_its_flow(introductions: Introductions) -> None:
    heard = introductions.hear(said(), SOURCE, None, NOW)
    assert isinstance(heard, Announcement)
    assert (heard.client, heard.vip) == (ALICE, VIP)
    assert introductions.of(SOURCE, ROUTE.raw, NOW) == heard


def test_it_waits_for_this_flow_and_not_for_ever(introductions: Introductions) -> None:
    introductions.hear(said(), SOURCE, None, NOW)
    other = mint(FAR, CLUSTER_KEYS, now=UNIX, lifetime=3600, nonce=b"else").raw
    assert introductions.of(SOURCE, other, NOW) is None
    assert introductions.of(Source(MALLORY, FAR_VIP), ROUTE.raw, NOW) is None
    late = Instant(NOW.monotonic + LIFETIME + 1, UNIX)
    assert introductions.of(SOURCE, ROUTE.raw, late) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (said()[:-1], "introduction_forged"),
        (said()[:-1] + bytes([said()[-1] ^ 1]), "introduction_forged"),
        (said(keys=CLUSTER_KEYS), "introduction_forged"),  # what a relay says to a transceiver
        (said(keys=ClusterSide(KeyRing({0: bytes(32)}, 0))), "introduction_forged"),
        (said(upstream=MALLORY), "introduction_of_another"),
    ],
    ids=["cut", "flipped", "cluster's key", "another cluster's", "overheard"],
)
def test_what_is_not_believed(introductions: Introductions, data: bytes, reason: str) -> None:
    assert introductions.hear(data, SOURCE, None, NOW) == reason
    assert introductions.of(SOURCE, ROUTE.raw, NOW) is None


def test_an_older_word_does_not_replace_a_newer_one(introductions: Introductions) -> None:
    newer = introductions.hear(said(time=UNIX + 1), SOURCE, None, NOW)
    assert introductions.hear(said(client=MALLORY), SOURCE, None, NOW) == "introduction_old"
    assert introductions.of(SOURCE, ROUTE.raw, NOW) == newer


def test_nor_what_its_flow_has_but_for_a_higher_epoch(introductions: Introductions) -> None:
    newer = Announcement(ALICE, VIP, EDGE, ROUTE.raw, UNIX + 1)
    assert introductions.hear(said(), SOURCE, newer, NOW) == "introduction_old"
    assert (
        introductions.hear(said(client=MALLORY, epoch=2), SOURCE, newer, NOW) == "introduction_old"
    )
    # An edge was started again, and its clock was set back.
    assert isinstance(introductions.hear(said(epoch=2), SOURCE, newer, NOW), Announcement)


@pytest.mark.parametrize("off", [-86_400.0, 86_400.0])
def test_clocks_may_differ(introductions: Introductions, off: float) -> None:
    assert isinstance(introductions.hear(said(time=UNIX + off), SOURCE, None, NOW), Announcement)


def test_an_edge_is_noted_once_in_a_while_and_so_many_are(introductions: Introductions) -> None:
    later = Instant(NOW.monotonic + NOTED_FOR, UNIX)
    told = [
        introductions.is_noted(EDGE._replace(port=port), at)
        for port, at in ((1, NOW), (2, NOW), (3, later))
    ]
    assert told == [False, True, False]
    for number in range(MOST_EDGES):
        host = str(IPv4Address(int(IPv4Address("10.0.0.0")) + number))
        assert not introductions.is_noted(Endpoint(host, 1), later)
    assert not introductions.is_noted(EDGE, later)


def test_so_many_wait_and_the_oldest_gives_way(introductions: Introductions) -> None:
    for number in range(MOST + 1):
        upstream = EDGE._replace(port=number + 1)
        heard = introductions.hear(said(upstream=upstream), Source(upstream, FAR_VIP), None, NOW)
        assert isinstance(heard, Announcement)
    first, last = (Source(EDGE._replace(port=port), FAR_VIP) for port in (1, MOST + 1))
    assert introductions.of(first, ROUTE.raw, NOW) is None
    assert introductions.of(last, ROUTE.raw, NOW) is not None


def flow_of(heard: Announcement, upstream: Endpoint = EDGE) -> Flow:
    addresses = FlowTuple(upstream, FAR_VIP, MEDIA._replace(port=1), MEDIA, heard.route)
    return Flow(addresses, State.CONFIRMED, 0.0, 0.0, introduced=heard)


def test_the_flow_of_a_call_is_found_by_a_higher_epoch(introductions: Introductions) -> None:
    heard = introductions.hear(said(), SOURCE, None, NOW)
    assert isinstance(heard, Announcement)
    flow = flow_of(heard)
    introductions.confirmed(flow)
    higher = replace(heard, epoch=2, upstream=MALLORY)
    assert introductions.moved(higher) is flow
    assert introductions.moved(heard) is None
    assert introductions.moved(replace(higher, client=MALLORY)) is None
    introductions.gone(flow_of(heard))  # another one of that call, that never was its flow
    assert introductions.moved(higher) is flow
    introductions.gone(flow)
    assert introductions.moved(higher) is None


def test_a_goodbye_to_an_edge_is_signed_with_what_it_has(introductions: Introductions) -> None:
    heard = introductions.hear(said(), SOURCE, None, NOW)
    assert isinstance(heard, Announcement)
    data = introductions.goodbye(flow_of(heard), ALICE)
    given = EdgeKeys([CLUSTER_KEYS.exported(FAR.cluster, Role.EDGE)])
    assert Goodbye.parse(data, given) == Goodbye(ROUTE.raw, ALICE, EDGE)


def test_a_goodbye_needs_no_key_that_has_left() -> None:
    heard = Announcement(ALICE, VIP, EDGE, ROUTE.raw, UNIX)
    rotated = KeyRing({3: bytes(range(1, 33))}, 3)
    data = Introductions(rotated).goodbye(flow_of(heard), ALICE)
    assert Goodbye.parse(data, EdgeKeys([rotated.exported(FAR.cluster, Role.EDGE)])).client == ALICE
