"""Audio sections: codecs, events, header extensions, feedback, direction."""

import pytest

from tests.transceiver.sdp.samples import AUDIO, SESSION, answer, plan, without
from transceiver.errors import OfferError
from transceiver.plan import AudioPlan, Codec, Redundancy
from transceiver.sdp.audio import ABS_SEND_TIME, AUDIO_LEVEL, MID, TRANSPORT_CC

BARE = without(AUDIO, "a=rtpmap")


def audio(text: str) -> AudioPlan:
    found = plan(SESSION + text).audio
    assert found is not None
    return found


def offering(formats: str, *lines: str) -> str:
    """A section with these payload types and attributes."""
    return BARE.replace("SAVPF 111", f"SAVPF {formats}") + "".join(
        f"a={each}\r\n" for each in lines
    )


def codecs(text: str) -> list[tuple[int, Codec]]:
    return [(each.payload_type, each.codec) for each in audio(text).formats]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (AUDIO, [(111, Codec.OPUS)]),
        (offering("0"), [(0, Codec.PCMU)]),
        (offering("8 0"), [(8, Codec.PCMA), (0, Codec.PCMU)]),
        (
            offering("0 8", "rtpmap:0 PCMU/8000", "rtpmap:8 pcma/8000/1"),
            [(0, Codec.PCMU), (8, Codec.PCMA)],
        ),
        (offering("0 96", "rtpmap:96 OPUS/48000/2"), [(0, Codec.PCMU), (96, Codec.OPUS)]),
        (offering("96", "rtpmap:96 opus/48000"), [(96, Codec.OPUS)]),
        (offering("96", "rtpmap:96 opus/48000/1"), [(96, Codec.OPUS)]),
        (
            offering("35 63", "rtpmap:35 opus/48000/2", "rtpmap:63 PCMU/8000"),
            [(35, Codec.OPUS), (63, Codec.PCMU)],
        ),
        (
            offering("1 127", "rtpmap:1 opus/48000/2", "rtpmap:127 opus/48000/2"),
            [(1, Codec.OPUS), (127, Codec.OPUS)],
        ),
        # What cannot be: a number of RTCP, too large, no number, not in the m= line, given away.
        (
            offering("72 111", "rtpmap:72 opus/48000/2", "rtpmap:111 opus/48000/2"),
            [(111, Codec.OPUS)],
        ),
        (
            offering("128 x 111 111", "rtpmap:128 opus/48000/2", "rtpmap:111 opus/48000/2"),
            [(111, Codec.OPUS)],
        ),
        (offering("0", "rtpmap:111 opus/48000/2"), [(0, Codec.PCMU)]),
        (offering("0 8", "rtpmap:0 speex/8000"), [(8, Codec.PCMA)]),
        (offering("0 96", "rtpmap:96 opus/16000/2"), [(0, Codec.PCMU)]),
        (offering("8 96", "rtpmap:96 PCMU/16000"), [(8, Codec.PCMA)]),
        (offering("8 96", "rtpmap:96 PCMU/8000/2"), [(8, Codec.PCMA)]),
        (
            offering("8 96", "rtpmap:96 opus", "rtpmap:96", "rtpmap:", "rtpmap:96 opus/48000/2/3"),
            [(8, Codec.PCMA)],
        ),
        (offering("96", "rtpmap:96 opus/48000/2", "rtpmap:96 PCMU/8000"), [(96, Codec.OPUS)]),
    ],
)
def test_codecs(text: str, found: list[tuple[int, Codec]]) -> None:
    assert codecs(text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (offering("96", "rtpmap:96 speex/16000"), "offer Opus"),
        (offering("9 13"), "offer Opus"),
        (offering("111"), "offer Opus"),
        (offering("72", "rtpmap:72 opus/48000/2"), "64 to 95"),
    ],
)
def test_no_codec_in_common(text: str, words: str) -> None:
    with pytest.raises(OfferError, match=words) as caught:
        plan(SESSION + text)
    assert caught.value.code == "no_codec"


@pytest.mark.parametrize(
    ("lines", "parameters"),
    [
        (["fmtp:111 minptime=10;useinbandfec=1"], {"minptime": "10", "useinbandfec": "1"}),
        (["fmtp:111  Stereo=1 ; CBR = 0;; usedtx"], {"stereo": "1", "cbr": "0", "usedtx": ""}),
        (["fmtp:111 a=1", "fmtp:111 a=2;b=3"], {"a": "1", "b": "3"}),
        (["fmtp:111", "fmtp:", "fmtp", "fmtp:x a=1", "fmtp:999 a=1"], {}),
        # Of a payload type that nobody has named: aiortc raised.
        (["fmtp:98 apt=96", "rtcp-fb:98 nack", "rtcp-fb:", "rtcp-fb"], {}),
    ],
)
def test_parameters(lines: list[str], parameters: dict[str, str]) -> None:
    (opus,) = audio(offering("111", "rtpmap:111 opus/48000/2", *lines)).formats
    assert opus.parameters == parameters


def test_events() -> None:
    lines = (
        *("rtpmap:111 opus/48000/2", "rtpmap:101 telephone-event/8000", "fmtp:101 0-16"),
        *("rtpmap:102 Telephone-Event/48000", "rtpmap:103 telephone-event/16000"),
        *("rtpmap:104 telephone-event/8000", "rtpmap:105 telephone-event/48000"),
    )
    text = offering("111 101 102 103 104", *lines)
    assert audio(text).events == {8000: 101, 48000: 102}
    told = answer(SESSION + text)
    assert "UDP/TLS/RTP/SAVPF 111 101 102\r\n" in told
    assert "a=rtpmap:102 Telephone-Event/48000\r\na=fmtp:102 0-15\r\n" in told


def extensions(*lines: str, section: str = AUDIO, session: str = "") -> dict[str, int]:
    text = "".join(f"a=extmap:{line}\r\n" for line in lines)
    return dict(audio(session + section + text).extensions)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([f"1 {AUDIO_LEVEL}", f"2 {MID}"], {AUDIO_LEVEL: 1, MID: 2}),
        ([f"1 {AUDIO_LEVEL} vad=on", f"3 {MID} some more"], {AUDIO_LEVEL: 1, MID: 3}),
        ([f"255 {MID}", f"14 {AUDIO_LEVEL}"], {MID: 255, AUDIO_LEVEL: 14}),
        ([f"1/sendonly {AUDIO_LEVEL}", f"2/recvonly {MID}"], {AUDIO_LEVEL: 1, MID: 2}),
        ([f"1/inactive {AUDIO_LEVEL}", f"2/nonsense {MID}"], {}),
        ([f"0 {MID}", f"15 {AUDIO_LEVEL}"], {}),
        ([f"256 {MID}", f"4096 {AUDIO_LEVEL}", f"x {MID}", "", "1", "1 "], {}),
        (["1 urn:unknown", f"1 {MID}"], {}),
        ([f"1 {MID}", f"2 {MID}"], {MID: 1}),
        (["1 urn:ietf:params:rtp-hdrext:encrypt " + MID], {}),
    ],
)
def test_header_extensions(lines: list[str], found: dict[str, int]) -> None:
    assert extensions(*lines) == found


def test_header_extensions_of_the_session() -> None:
    assert extensions(session=f"a=extmap:5 {AUDIO_LEVEL}\r\n") == {AUDIO_LEVEL: 5}


@pytest.mark.parametrize(
    "section", [without(AUDIO, "a=mid"), AUDIO.replace("mid:0", "mid:" + "x" * 17)]
)
def test_a_mid_is_sent_only_where_there_is_one_that_fits(section: str) -> None:
    assert extensions(f"1 {MID}", section=section) == {}


def test_directions_of_header_extensions() -> None:
    text = AUDIO + f"a=extmap:1/sendonly {AUDIO_LEVEL}\r\na=extmap:2/recvonly {MID}\r\n"
    assert audio(text).unsent == {AUDIO_LEVEL}
    told = answer(SESSION + text)
    assert f"a=extmap:1/recvonly {AUDIO_LEVEL}\r\n" in told
    assert f"a=extmap:2/sendonly {MID}\r\n" in told


@pytest.mark.parametrize(
    ("lines", "feedback", "uris"),
    [
        (["rtcp-fb:111 nack"], {"nack"}, set()),
        (["rtcp-fb:* nack", "rtcp-fb:111 NACK"], {"nack"}, set()),
        (["rtcp-fb:111 nack pli", "rtcp-fb:111 ccm fir", "rtcp-fb:0 nack"], set(), set()),
        (["rtcp-fb:111 transport-cc"], set(), set()),
        ([f"extmap:3 {TRANSPORT_CC}"], set(), set()),
        (
            ["rtcp-fb:111 transport-cc", f"extmap:3 {TRANSPORT_CC}"],
            {"transport-cc"},
            {TRANSPORT_CC},
        ),
        (["rtcp-fb:111 goog-remb", f"extmap:3 {ABS_SEND_TIME}"], {"goog-remb"}, {ABS_SEND_TIME}),
        ([f"extmap:3 {ABS_SEND_TIME}"], set(), set()),
        (
            [
                *("rtcp-fb:111 goog-remb", f"extmap:3 {ABS_SEND_TIME}"),
                *("rtcp-fb:111 transport-cc", f"extmap:4 {TRANSPORT_CC}"),
            ],
            {"goog-remb", "transport-cc"},
            {TRANSPORT_CC},
        ),
    ],
)
def test_feedback(lines: list[str], feedback: set[str], uris: set[str]) -> None:
    text = AUDIO + "".join(f"a={line}\r\n" for line in lines)
    found = audio(text)
    assert found.feedback == feedback
    assert set(found.extensions) == uris
    assert {
        line.split()[1] for line in answer(SESSION + text).split("\r\n") if "rtcp-fb" in line
    } == (feedback)


def test_a_profile_without_feedback_has_none() -> None:
    text = AUDIO.replace("SAVPF", "SAVP") + "a=rtcp-fb:111 nack\r\n"
    assert audio(text).feedback == set()
    assert "rtcp-fb" not in answer(SESSION + text)


@pytest.mark.parametrize(
    "protocol",
    [
        *("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "RTP/SAVP", "RTP/AVPF", "RTP/AVP"),
        *("TCP/DTLS/RTP/SAVPF", "TCP/TLS/RTP/SAVP", "udp/tls/rtp/savpf"),
    ],
)
def test_protocols_are_told_back_as_they_are_written(protocol: str) -> None:
    text = SESSION + AUDIO.replace("UDP/TLS/RTP/SAVPF", protocol)
    assert f"m=audio 3478 {protocol} 111\r\n" in answer(text)


def test_other_protocols_are_refused() -> None:
    with pytest.raises(OfferError, match="UDP/TLS/RTP/SAVPF"):
        plan(SESSION + AUDIO.replace("UDP/TLS/RTP/SAVPF", "TCP/MSRP"))


@pytest.mark.parametrize(
    ("line", "receive", "send", "told"),
    [
        ("", True, True, "sendrecv"),
        ("a=sendrecv\r\n", True, True, "sendrecv"),
        ("a=sendonly\r\n", True, False, "recvonly"),
        ("a=recvonly\r\n", False, True, "sendonly"),
        ("a=inactive\r\n", False, False, "inactive"),
    ],
)
def test_directions(line: str, receive: bool, send: bool, told: str) -> None:
    for text in (AUDIO + line, line + AUDIO, "a=inactive\r\n" + AUDIO + line if line else AUDIO):
        found = audio(text)
        assert (found.receive, found.send) == (receive, send)
        lines = answer(SESSION + text).split("\r\n")
        assert f"a={told}" in lines
        assert any(each.startswith("a=msid:") for each in lines) is send
        assert ("a=ssrc:1234 cname:icelane" in lines) is send


def test_rtcp_on_the_same_port_is_a_must() -> None:
    with pytest.raises(OfferError, match="rtcp-mux"):
        plan(SESSION + without(AUDIO, "a=rtcp-mux"))
    assert audio(AUDIO.replace("a=rtcp-mux", "a=rtcp-mux-only"))


def test_reduced_size_rtcp() -> None:
    assert not audio(AUDIO).reduced_rtcp
    assert "rtcp-rsize" not in answer(SESSION + AUDIO)
    assert audio(AUDIO + "a=rtcp-rsize\r\n").reduced_rtcp
    assert "a=rtcp-rsize\r\n" in answer(SESSION + AUDIO + "a=rtcp-rsize\r\n")


@pytest.mark.parametrize(("value", "found"), [("20", 20), ("0", None), ("", None), ("9999", None)])
def test_packet_time(value: str, found: int | None) -> None:
    assert audio(AUDIO + f"a=ptime:{value}\r\n").ptime == found


@pytest.mark.parametrize(("longest", "found"), [("120", 60), ("40", 40), ("0", 60), ("x", 60)])
def test_packets_are_no_longer_than_the_client_takes(longest: str, found: int) -> None:
    assert audio(AUDIO + f"a=ptime:60\r\na=maxptime:{longest}\r\n").ptime == found
    assert audio(AUDIO + f"a=maxptime:{longest}\r\n").ptime is None


# --- comfort noise and redundancy ---

OPUS, RED = "rtpmap:111 opus/48000/2", "rtpmap:63 red/48000/2"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (offering("0 13"), 13),
        (offering("0 8 13", "rtpmap:13 CN/8000"), 13),
        (offering("8 97 111", "rtpmap:97 CN/8000", OPUS), 97),
        (offering("8 97", "rtpmap:97 CN/16000"), 13),
        (offering("0"), 13),
        (offering("0 13", "rtpmap:13 speex/8000"), None),
        (offering("111 13", OPUS), None),
    ],
)
def test_comfort_noise_is_for_g711(text: str, found: int | None) -> None:
    assert audio(text).noise == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (offering("111 63", OPUS, RED, "fmtp:63 111/111"), Redundancy(63, 111, preferred=False)),
        (offering("63 111", OPUS, RED, "fmtp:63 111/111/111"), Redundancy(63, 111, preferred=True)),
        (offering("111 63", OPUS, RED), None),
        (offering("111 63", OPUS, RED, "fmtp:63 111"), None),
        (offering("111 63 0", OPUS, RED, "fmtp:63 111/0"), None),
        (offering("111 63 0", OPUS, RED, "fmtp:63 0/0"), None),
        (offering("111 63", OPUS, RED, "fmtp:63 x/x"), None),
        (offering("111 63", OPUS, RED, "fmtp:64 111/111", "fmtp:"), None),
        (offering("111", OPUS, RED, "fmtp:63 111/111"), None),
        (offering("111 63", OPUS, "rtpmap:63 red/8000", "fmtp:63 111/111"), None),
    ],
)
def test_redundancy_is_for_opus_and_names_it(text: str, found: Redundancy | None) -> None:
    assert audio(text).redundancy == found


def test_the_answer_has_redundancy_where_the_client_has_it_and_no_comfort_noise() -> None:
    both = ("rtpmap:13 CN/8000", OPUS, RED, "fmtp:63 111/111")
    lines = answer(SESSION + offering("111 63 0 13", *both)).splitlines()
    (section,) = [line for line in lines if line.startswith("m=audio")]
    assert section.endswith(" 111 0 63")
    assert {"a=rtpmap:63 red/48000/2", "a=fmtp:63 111/111"} <= set(lines)
    lines = answer(SESSION + offering("0 63 111 13", *both)).splitlines()
    (section,) = [line for line in lines if line.startswith("m=audio")]
    assert section.endswith(" 0 63 111")
