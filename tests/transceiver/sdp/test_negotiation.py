"""What of an offer is used."""

import pytest

from tests.transceiver.sdp.samples import (
    AUDIO,
    DATA,
    GROUP,
    OFFER,
    SESSION,
    VIDEO,
    answer,
    plan,
    without,
)
from transceiver.errors import OfferError
from transceiver.plan import DtlsRole
from transceiver.sdp import read_offer

SECOND = AUDIO.replace("mid:0", "mid:5")


def place(text: str) -> int | None:
    """The section of the audio that is used."""
    audio = plan(text).audio
    return audio.section if audio else None


def test_audio_and_data_channels() -> None:
    made = plan(OFFER)
    assert made.audio is not None
    assert made.data is not None
    assert (made.audio.mid, made.audio.section, made.audio.transport) == ("0", 0, 0)
    assert (made.data.mid, made.data.section, made.data.transport) == ("1", 1, 0)
    assert (len(made.transports), made.sections) == (1, 2)


def test_one_of_the_two_is_enough() -> None:
    assert plan(SESSION + AUDIO).data is None
    assert plan(SESSION + DATA).audio is None


@pytest.mark.parametrize(
    ("text", "section"),
    [
        (AUDIO + SECOND, 0),
        (VIDEO + DATA + AUDIO, 2),
        (AUDIO.replace("audio 9", "audio 0") + SECOND, 1),
        (AUDIO.replace("opus", "speex") + SECOND, 1),
        (AUDIO.replace("UDP/TLS/RTP/SAVPF", "UDP/TLS/MRCPv2") + SECOND, 1),
        (without(AUDIO, "a=fingerprint").replace("UDP/TLS/RTP/SAVPF", "RTP/AVP") + SECOND, 1),
        (without(AUDIO, "a=rtcp-mux") + SECOND, 1),
        (without(AUDIO, "a=ice-ufrag") + SECOND, 1),
        (AUDIO + "a=inactive\r\n" + SECOND, 1),
        (AUDIO + "a=inactive\r\n" + SECOND + "a=inactive\r\n", 0),
        (AUDIO + "a=inactive\r\n" + SECOND.replace("opus", "speex"), 0),
        (AUDIO.replace("opus", "speex") + SECOND + "a=recvonly\r\n", 1),
    ],
)
def test_the_first_usable_audio_section(text: str, section: int) -> None:
    assert place(SESSION + text) == section


def test_further_sections_are_rejected_in_their_place() -> None:
    told = answer(SESSION + "a=group:BUNDLE 2 0 5 1\r\n" + VIDEO + AUDIO + SECOND + DATA)
    assert [line.split()[:2] for line in told.split("\r\n") if line.startswith("m=")] == [
        ["m=video", "0"],
        ["m=audio", "3478"],
        ["m=audio", "0"],
        ["m=application", "3478"],
    ]
    assert "a=group:BUNDLE 0 1\r\n" in told
    assert (
        "m=video 0 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=inactive\r\n" in told
    )


def test_a_second_section_of_data_channels_is_rejected() -> None:
    text = SESSION + DATA.replace("mid:1", "mid:7").replace("9 UDP", "0 UDP") + DATA + AUDIO
    data = plan(text).data
    assert data is not None
    assert data.section == 1


@pytest.mark.parametrize(
    ("group", "taken"),
    [("a=group:BUNDLE 0 1\r\n", True), ("a=group:BUNDLE 0\r\n", False), ("", False)],
)
def test_port_zero_says_no_unless_the_section_has_its_port_with_a_group(
    group: str, taken: bool
) -> None:
    closed = DATA.replace("application 9", "application 0")
    assert plan(SESSION + group + AUDIO + closed).data is None
    assert (plan(SESSION + group + AUDIO + closed + "a=bundle-only\r\n").data is not None) is taken


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (SESSION, "no_media", "add audio"),
        (SESSION + VIDEO, "no_media", "add audio"),
        (SESSION + AUDIO.replace("audio 9", "audio 0"), "no_media", "add audio"),
        (SESSION + "a=ice-lite\r\n" + AUDIO, "invalid_sdp", "ice-lite"),
        (SESSION + AUDIO + "a=ice-lite\r\n", "invalid_sdp", "ice-lite"),
        # Audio that cannot be used is told, and not silently left out beside data channels.
        (SESSION + AUDIO.replace("opus", "speex") + DATA, "no_codec", "offer Opus"),
        (
            SESSION + AUDIO.replace("opus", "speex") + without(SECOND, "a=rtcp-mux"),
            "no_codec",
            "Opus",
        ),
        (
            SESSION + AUDIO + without(DATA, "a=fingerprint"),
            "invalid_sdp",
            "application .*fingerprint",
        ),
    ],
)
def test_an_offer_that_cannot_work_is_refused_in_words(text: str, code: str, words: str) -> None:
    with pytest.raises(OfferError, match=words) as caught:
        plan(text)
    assert caught.value.code == code


def test_the_role_is_the_servers_unless_told_otherwise() -> None:
    offer = read_offer(OFFER)
    assert offer.plan().transports[0].role is DtlsRole.SERVER
    client = offer.plan(role=DtlsRole.CLIENT)
    assert client.transports[0].role is DtlsRole.CLIENT
    passive = read_offer(OFFER.replace("actpass", "passive"))
    assert passive.plan().transports[0].role is DtlsRole.CLIENT


def test_a_partly_bundled_offer_has_a_group_of_one_and_a_transport_more() -> None:
    text = SESSION + "a=group:BUNDLE 0 2\r\n" + AUDIO + DATA.replace("abcd\r", "wxyz\r") + VIDEO
    assert [each.ufrag for each in plan(text).transports] == ["abcd", "wxyz"]
    told = answer(text)
    assert "a=group:BUNDLE 0\r\n" in told
    assert told.index("a=ice-ufrag:server0") < told.index("a=ice-ufrag:server1")


def test_without_a_group_the_answer_has_none() -> None:
    assert "a=group" not in answer(SESSION + AUDIO + DATA)
    assert GROUP in answer(OFFER)
