"""What strangers send is what it is called."""

from random import Random

import pytest

from relay.wire.checksum import internet_checksum
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from tests.bench.compare.systems.routes import TARGET, new_route
from tests.bench.flood.frames import ALL_KINDS, FRAME_SIZE, KINDS, Sent, Site, make
from tests.bench.flood.sender import MOST_FRAMES
from tests.relay.wire.verdict import verdict

KEYS = KeyRing({0: bytes(range(32))}, 0)
VIP = Endpoint("198.18.255.10", 3478)
PENDING = [Endpoint("198.18.0.1", 50_000 + number) for number in range(3)]
SITE = Site(VIP, lambda: new_route(KEYS).ufrag, PENDING)
UDP, ICMP = 17, 1


def made(kind: str) -> list[Sent]:
    return make(kind, SITE, Random(1))


@pytest.mark.parametrize("kind", KINDS)
def test_all_frames_fit_and_their_headers_are_right(kind: str) -> None:
    frames = made(kind)
    assert 0 < len(frames) <= MOST_FRAMES
    for each in frames:
        packet = each.packet
        assert 14 + len(packet) <= FRAME_SIZE
        assert int.from_bytes(packet[2:4], "big") == len(packet)
        assert packet[16:20] == VIP.packed[12:16]
        source = sum(int.from_bytes(packet[at : at + 2], "big") for at in (12, 14))
        checked = (each.rest + source).to_bytes(4, "big")
        assert internet_checksum(packet[:20]) == 0
        assert internet_checksum(checked) == int.from_bytes(packet[10:12], "big")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("forged STUN", "stun_forged"),
        ("one replayed ufrag", "stun_routed"),
        ("64 replayed ufrags", "stun_routed"),
        ("media of nobody", "unknown_client"),
        ("media of pending flows", "unknown_client"),
    ],
)
def test_what_a_relay_makes_of_them(kind: str, said: str) -> None:
    for each in made(kind):
        assert each.packet[9] == UDP
        assert verdict(each.packet[28:], KEYS, TARGET.cluster) == said


def test_who_sends_them() -> None:
    assert all(each.strange for each in made("one replayed ufrag"))
    sources = {each.packet[12:16] + each.packet[20:22] for each in made("media of pending flows")}
    assert sources == {client.packed[12:] for client in PENDING}
    assert not any(each.strange for each in made("media of pending flows"))


def test_replayed_ufrags_are_one_or_many() -> None:
    kinds = "one replayed ufrag", "64 replayed ufrags"
    assert [len({each.packet for each in made(kind)}) for kind in kinds] == [1, 64]


def test_icmp_errors_quote_what_the_relay_may_have_sent() -> None:
    for each in made("ICMP errors"):
        assert (each.packet[9], each.packet[20:22]) == (ICMP, bytes([3, 4]))
        assert internet_checksum(each.packet[20:]) == 0
        assert each.packet[28 + 12 : 28 + 16] == VIP.packed[12:16]


def test_fragments_are_first_ones_of_more() -> None:
    for each in made("fragments"):
        assert int.from_bytes(each.packet[6:8], "big") == 0x2000
        assert (len(each.packet) - 20) % 8 == 0


def test_all_of_them_are_some_of_each() -> None:
    def kinds_of(frames: list[Sent]) -> set[tuple[int, int]]:
        return {(each.packet[9], each.packet[28]) for each in frames if len(each.packet) > 28}

    every = kinds_of(made(ALL_KINDS))
    for kind in ("forged STUN", "media of nobody", "ICMP errors"):
        assert kinds_of(made(kind)) <= every
