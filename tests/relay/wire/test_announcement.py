from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.announcement import MAX_EPOCH, SIZE, Announcement, announce, is_announcement
from relay.wire.endpoint import Endpoint
from relay.wire.errors import AnnouncementError, RouteTagError
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from relay.wire.siphash import tag
from relay.wire.transport import Transport

KEYS = KeyRing({0: bytes(range(32)), 1: bytes(32)}, signing_slot=1)
TARGET = Target(cluster=1, slot=2, generation=3)
ROUTE = mint(TARGET, KEYS, now=1_795_381_747, lifetime=3600, nonce=b"1234")
ANNOUNCEMENT = Announcement(
    client=Endpoint("203.0.113.2", 40000),
    vip=Endpoint("2001:db8::1", 3478),
    upstream=Endpoint("192.0.2.1", 20000),
    route=ROUTE.raw,
    time=1_795_381_747.123456,
    epoch=7,
)
DATA = ANNOUNCEMENT.serialize(KEYS)
ENDPOINTS = st.binary(min_size=18, max_size=18).map(Endpoint.unpack)


def test_the_bytes_lie_where_the_layout_says() -> None:
    assert len(DATA) == SIZE == 97
    signed = (
        b"\x0c\x10"
        + (1_795_381_747_123_456).to_bytes(8, "big")
        + ANNOUNCEMENT.client.packed
        + ANNOUNCEMENT.vip.packed
        + ANNOUNCEMENT.upstream.packed
        + b"\0\0\0\x07"
        + ROUTE.raw
    )
    assert signed + tag(KEYS.announcement_keys(1, 1)[0], signed) == DATA


@given(
    st.tuples(ENDPOINTS, ENDPOINTS, ENDPOINTS),
    st.integers(0, 2**52),
    st.sampled_from(Transport),
    st.integers(0, MAX_EPOCH),
)
def test_there_and_back(
    ends: tuple[Endpoint, Endpoint, Endpoint], microseconds: int, transport: Transport, epoch: int
) -> None:
    announcement = Announcement(*ends, ROUTE.raw, microseconds / 1e6, transport, epoch)
    data = announcement.serialize(KEYS)
    assert is_announcement(data)
    assert Announcement.parse(data, KEYS) == announcement


def test_a_client_over_tcp_is_marked() -> None:
    over_tcp = replace(ANNOUNCEMENT, transport=Transport.TCP).serialize(KEYS)
    assert over_tcp[:2] == b"\x0c\x11"
    assert over_tcp[2:-8] == DATA[2:-8]


@pytest.mark.parametrize("byte", range(SIZE))
def test_every_flipped_bit_is_refused(byte: int) -> None:
    for bit in range(8):
        flipped = bytearray(DATA)
        flipped[byte] ^= 1 << bit
        with pytest.raises(AnnouncementError):
            Announcement.parse(bytes(flipped), KEYS)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not an announcement"),
        (DATA[:-1], "not an announcement"),
        (DATA + b"\0", "not an announcement"),
        (b"\x0d" + DATA[1:], "not an announcement"),
        (b"\x0c\x12" + DATA[2:], "not an announcement"),
        (b"\x0c\x00" + DATA[2:75], "of version 0, where 1 is known"),
        (b"\x0c\x20" + DATA[2:], "of version 2, where 1 is known"),
        (b"\x0c", "not an announcement"),
        (b"\x0c\x11" + DATA[2:], "tag does not verify"),
        (DATA[:68] + bytes(21) + DATA[89:], "bad route"),
        (DATA[:-8] + bytes(8), "tag does not verify"),
    ],
    ids=[
        "empty",
        "short",
        "long",
        "first byte",
        "transport",
        "version before",
        "version to come",
        "one byte",
        "other transport",
        "route",
        "tag",
    ],
)
def test_what_is_wrong_is_said(data: bytes, says: str) -> None:
    with pytest.raises(AnnouncementError, match=says):
        Announcement.parse(data, KEYS)


@given(st.binary(max_size=100) | st.binary(min_size=95, max_size=95).map(b"\x0c\x10".__add__))
def test_random_bytes_raise_only_the_documented_error(data: bytes) -> None:
    with pytest.raises(AnnouncementError):
        Announcement.parse(data, KEYS)


def test_a_route_tag_does_not_make_an_announcement() -> None:
    # Clients know a valid route: the key of announcements must be another one.
    signed = DATA[:-8]
    forged = signed + tag(KEYS.route_key(1, 1), signed)
    with pytest.raises(AnnouncementError, match="tag does not verify"):
        Announcement.parse(forged, KEYS)


def test_another_deployment_takes_nothing_and_signs_nothing() -> None:
    others = KeyRing({1: bytes(range(32))}, signing_slot=1)
    with pytest.raises(AnnouncementError, match="bad route"):
        Announcement.parse(DATA, others)
    with pytest.raises(RouteTagError):
        ANNOUNCEMENT.serialize(others)


def test_a_flow_outlives_the_key_of_its_route() -> None:
    """Whoever has retired it signs with another one, which is known where the old one still is."""
    new = KeyRing({0: bytes(range(32))}, signing_slot=0)
    ends = ANNOUNCEMENT.client.packed + ANNOUNCEMENT.vip.packed + ANNOUNCEMENT.upstream.packed
    told = announce(ends, ROUTE, ANNOUNCEMENT.time, new, epoch=ANNOUNCEMENT.epoch)
    assert Announcement.parse(told, new) == ANNOUNCEMENT
    assert ANNOUNCEMENT.serialize(new) == told
    with pytest.raises(AnnouncementError, match="tag does not verify"):
        Announcement.parse(told[:-1] + bytes([told[-1] ^ 1]), new)
    with pytest.raises(AnnouncementError, match="tag does not verify"):
        Announcement.parse(told, KeyRing({5: bytes(32)}, signing_slot=5))
    assert Announcement.parse(told, KEYS) == ANNOUNCEMENT  # who has not retired it yet
