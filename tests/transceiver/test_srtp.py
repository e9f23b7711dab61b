"""SRTP between two ends that share keying material."""

import pytest

from transceiver.srtp import PROFILES, Profile, Srtp

RTP = bytes((0x80, 111)) + (7).to_bytes(2, "big") + bytes(4) + b"ssrc" + b"voice" * 20
RTCP = bytes((0x80, 201, 0, 1)) + b"ssrc"
profiles = pytest.mark.parametrize("profile", PROFILES, ids=lambda each: each.name.decode())


def ends(profile: Profile) -> tuple[Srtp, Srtp]:
    material = bytes(number % 251 for number in range(profile.keying_material))
    return Srtp(profile, material, is_client=True), Srtp(profile, material, is_client=False)


@profiles
def test_each_end_reads_what_the_other_one_sends(profile: Profile) -> None:
    client, server = ends(profile)
    for sender, receiver in ((client, server), (server, client)):
        assert receiver.unprotect(sender.protect(RTP)) == RTP
        assert receiver.unprotect_rtcp(sender.protect_rtcp(RTCP)) == RTCP


@profiles
def test_the_two_directions_have_keys_of_their_own(profile: Profile) -> None:
    client, _ = ends(profile)
    assert client.unprotect(client.protect(RTP)) is None


@profiles
def test_what_was_changed_or_came_before_is_refused(profile: Profile) -> None:
    client, server = ends(profile)
    sent = client.protect(RTP)
    assert server.unprotect(sent[:-1] + bytes((sent[-1] ^ 1,))) is None
    assert server.unprotect(sent) == RTP
    assert server.unprotect(sent) is None


@pytest.mark.parametrize("junk", [b"", b"\x80", bytes(12), b"\x80" * 11, b"\xff" * 3000])
def test_junk_is_refused(junk: bytes) -> None:
    _, server = ends(PROFILES[0])
    assert server.unprotect(junk) is None
    assert server.unprotect_rtcp(junk) is None


def test_a_packet_may_be_sent_again_as_it_was() -> None:
    client, server = ends(PROFILES[0])
    first, again = client.protect(RTP), client.protect(RTP)
    assert first == again
    assert server.unprotect(again) == RTP
