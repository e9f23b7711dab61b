"""Offers: what is taken, what is refused with which word, and how the answer is put together."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transceiver.errors import OfferError
from transceiver.sdp import MAX_SIZE, parse_offer

SESSION = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
GROUP = "a=group:BUNDLE 0 1\r\n"
FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\n"
TRANSPORT = (
    "c=IN IP4 0.0.0.0\r\n"
    "a=ice-ufrag:abcd\r\n"
    "a=ice-pwd:abcdefghijklmnopqrstuv\r\n" + FINGERPRINT + "a=setup:actpass\r\n"
)
AUDIO = (
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
    + TRANSPORT
    + "a=mid:0\r\na=rtcp-mux\r\na=sendrecv\r\na=rtpmap:111 opus/48000/2\r\n"
    "a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\n"
)
CHANNEL = (
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
    + TRANSPORT
    + "a=mid:1\r\na=sctp-port:5000\r\n"
)
VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=rtpmap:96 VP8/90000\r\n"
OFFER = SESSION + GROUP + AUDIO + CHANNEL


def test_an_offer_is_taken_without_its_candidates() -> None:
    offer = parse_offer(OFFER)
    assert offer.bundled
    assert offer.credentials == ("abcd", "abcdefghijklmnopqrstuv")
    assert "a=candidate" not in offer.accepted
    assert sorted(offer.accepted.split("\r\n")) == sorted(
        line for line in OFFER.split("\r\n") if not line.startswith("a=candidate")
    )


def test_bare_newlines_are_read() -> None:
    assert parse_offer(OFFER.replace("\r\n", "\n")) == parse_offer(OFFER)


def test_transport_attributes_may_stand_at_session_level() -> None:
    bare = AUDIO.replace(TRANSPORT, "c=IN IP4 0.0.0.0\r\n")
    offer = parse_offer(SESSION + TRANSPORT + bare)
    assert offer.credentials == ("abcd", "abcdefghijklmnopqrstuv")


@pytest.mark.parametrize(
    ("offer", "bundled"),
    [
        (OFFER, True),
        (SESSION + AUDIO + CHANNEL, False),
        (SESSION + "a=group:BUNDLE 0\r\n" + AUDIO + CHANNEL, False),
        (SESSION + "a=group:BUNDLE 2 1 0\r\n" + AUDIO + CHANNEL + VIDEO, True),
        (SESSION + GROUP + AUDIO.replace("a=mid:0\r\n", "") + CHANNEL, False),
    ],
)
def test_sections_share_a_transport_when_one_group_holds_them(offer: str, bundled: bool) -> None:
    assert parse_offer(offer).bundled is bundled


def test_sections_without_use_are_rejected_in_their_place() -> None:
    offer = parse_offer(SESSION + "a=group:BUNDLE 2 0 1\r\n" + VIDEO + AUDIO + CHANNEL)
    assert "m=video" not in offer.accepted
    assert "a=group:BUNDLE 0 1\r\n" in offer.accepted
    answer = offer.answer(SESSION + GROUP + "m=audio 1 X 111\r\nm=application 1 X y\r\n")
    assert answer == (
        SESSION + GROUP + "m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\n"
        "a=inactive\r\nm=audio 1 X 111\r\nm=application 1 X y\r\n"
    )


def test_an_answer_without_bundle_in_the_offer_has_none() -> None:
    offer = parse_offer(SESSION + AUDIO)
    assert "a=group" not in offer.answer(SESSION + GROUP + "m=audio 1 X 111\r\n")


def test_a_section_with_port_zero_is_taken_only_when_it_is_bundled() -> None:
    closed = CHANNEL.replace("m=application 9", "m=application 0")
    assert not parse_offer(SESSION + GROUP + AUDIO + closed).sections[1].accepted
    assert parse_offer(SESSION + GROUP + AUDIO + closed + "a=bundle-only\r\n").sections[1].accepted


def test_a_second_audio_section_is_rejected() -> None:
    second = AUDIO.replace("a=mid:0", "a=mid:5")
    offer = parse_offer(SESSION + GROUP + AUDIO + CHANNEL + second)
    assert [section.accepted for section in offer.sections] == [True, True, False]


@pytest.mark.parametrize(
    ("offer", "code", "text"),
    [
        ("", "invalid_sdp", "v=0"),
        ("{}", "invalid_sdp", "v=0"),
        ("v=0" + "x" * MAX_SIZE, "invalid_sdp", "longer"),
        (SESSION, "no_media", "no audio"),
        (SESSION + VIDEO, "no_media", "no audio"),
        (SESSION + AUDIO.replace("audio 9", "audio 0"), "no_media", "no audio"),
        (SESSION + "m=audio nine RTP 0\r\n", "invalid_sdp", "media line"),
        (SESSION + "a=ice-lite\r\n" + AUDIO, "invalid_sdp", "ice-lite"),
        (SESSION + AUDIO.replace("a=ice-ufrag:abcd", "a=ice-ufrag:abc"), "invalid_sdp", "ufrag"),
        (SESSION + AUDIO.replace("a=ice-pwd:", "a=ice-pwd:="), "invalid_sdp", "ice-pwd"),
        (SESSION + AUDIO.replace("sha-256", "sha-1"), "invalid_sdp", "fingerprint"),
        (SESSION + AUDIO.replace("setup:actpass", "setup:holdconn"), "invalid_sdp", "setup"),
        (SESSION + AUDIO.replace("a=rtcp-mux\r\n", ""), "invalid_sdp", "rtcp-mux"),
        (SESSION + AUDIO + CHANNEL.replace("mid:1", "mid:0"), "invalid_sdp", "same a=mid"),
        (SESSION + AUDIO.replace("opus/48000", "speex/16000"), "no_codec", "Opus"),
    ],
)
def test_an_offer_that_cannot_work_is_refused_with_a_reason(
    offer: str, code: str, text: str
) -> None:
    with pytest.raises(OfferError, match=text) as caught:
        parse_offer(offer)
    assert caught.value.code == code


def test_the_direction_may_stand_at_session_level_or_nowhere() -> None:
    bare = AUDIO.replace("a=sendrecv\r\n", "")
    assert "a=sendrecv\r\n" in parse_offer(SESSION + bare).accepted
    accepted = parse_offer(SESSION + "a=recvonly\r\n" + bare).accepted
    assert accepted.endswith("a=recvonly\r\n")
    assert "a=sendrecv" not in accepted


def test_a_static_codec_needs_no_rtpmap() -> None:
    pcmu = AUDIO.replace("SAVPF 111", "SAVPF 0").replace("a=rtpmap:111 opus/48000/2\r\n", "")
    assert "a=rtpmap:0 PCMU/8000\r\n" in parse_offer(SESSION + pcmu).accepted
    named = pcmu + "a=rtpmap:0 PCMU/8000\r\n"
    assert parse_offer(SESSION + named).accepted.count("a=rtpmap") == 1


@given(text=st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    for offer in (text, SESSION + text, SESSION + "m=audio 9 X 0\r\na=" + text):
        with contextlib.suppress(OfferError):
            parse_offer(offer)
