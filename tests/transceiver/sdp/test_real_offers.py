"""Offers of real clients: all of them lead to a call, and their answers follow the rules."""

import pytest

from tests.transceiver.sdp.reader import check
from tests.transceiver.sdp.samples import LOCAL, REAL, answer, plan
from transceiver.plan import Codec, DtlsRole
from transceiver.sdp import read_offer

CLIENTS = [
    *("aiortc", "chromium", "ffmpeg", "firefox", "gstreamer", "libnice", "livekit"),
    *("node-datachannel", "obs", "pion", "safari", "werift"),
]


def test_all_clients_are_there() -> None:
    assert {next(each for each in CLIENTS if name.startswith(each)) for name in REAL} == set(
        CLIENTS
    )


@pytest.mark.parametrize("name", REAL)
def test_a_real_offer_gets_an_answer_by_the_rules(name: str) -> None:
    text = REAL[name]
    check(text, answer(text))


@pytest.mark.parametrize("name", REAL)
def test_a_real_offer_once_more_changes_nothing(name: str) -> None:
    offer = read_offer(REAL[name])
    first = offer.plan()
    assert offer.plan(first) == first
    text = offer.answer(first, LOCAL)
    assert offer.answer(offer.plan(first), LOCAL, text) == text


@pytest.mark.parametrize("name", [name for name in REAL if "data" not in name.split("-")])
def test_a_real_offer_has_opus_first(name: str) -> None:
    audio = plan(REAL[name]).audio
    assert audio is not None
    assert audio.formats[0].codec is Codec.OPUS


@pytest.mark.parametrize("name", [name for name in REAL if not name.endswith("whip")])
def test_a_real_offer_has_data_channels(name: str) -> None:
    assert plan(REAL[name]).data is not None


def test_chromium_in_full() -> None:
    chromium = plan(REAL["chromium-call"])
    assert len(chromium.transports) == 1
    assert chromium.transports[0].role is DtlsRole.SERVER
    assert not chromium.transports[0].sped
    audio, data = chromium.audio, chromium.data
    assert audio is not None
    assert data is not None
    assert [(each.codec, each.payload_type) for each in audio.formats] == [
        (Codec.OPUS, 111),
        (Codec.PCMU, 0),
        (Codec.PCMA, 8),
    ]
    assert audio.formats[0].parameters == {"minptime": "10", "useinbandfec": "1"}
    assert audio.events == {48000: 110, 8000: 126}
    assert sorted(audio.extensions.values()) == [1, 3, 4]
    assert audio.feedback == {"transport-cc"}
    assert (audio.receive, audio.send, audio.reduced_rtcp) == (True, True, True)
    assert (data.port, data.max_message_size, data.sctp_init) == (5000, 262144, None)


def test_chromium_with_warp() -> None:
    warp = plan(REAL["chromium-warp-call"])
    assert warp.transports[0].sped
    assert warp.data is not None
    assert warp.data.sctp_init is not None
    assert len(warp.data.sctp_init) == 30
    assert "a=sctp-init:" in answer(REAL["chromium-warp-call"])
    assert "a=sctp-init:" not in answer(REAL["chromium-call"])


def test_gstreamer_bundles_a_section_without_a_port_of_its_own() -> None:
    gstreamer = plan(REAL["gstreamer-call"])
    assert gstreamer.data is not None
    assert gstreamer.data.transport == 0
    assert "a=group:BUNDLE audio0 application1\r\n" in answer(REAL["gstreamer-call"])


def test_ffmpeg_is_the_dtls_server() -> None:
    assert plan(REAL["ffmpeg-whip"]).transports[0].role is DtlsRole.CLIENT


def test_libnice_without_a_group_has_a_transport_each_and_two_fingerprints() -> None:
    libnice = plan(REAL["libnice-call"])
    assert [each.ufrag for each in libnice.transports] == ["Qk2v", "u8Fs"]
    assert [each.algorithm for each in libnice.transports[0].fingerprints] == ["sha-1", "sha-256"]
    assert "a=group" not in answer(REAL["libnice-call"])
    assert "a=sctpmap:5000 webrtc-datachannel" in answer(REAL["libnice-call"])
