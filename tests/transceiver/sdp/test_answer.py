"""The answer's text."""

from dataclasses import replace

import pytest

from relay.wire.endpoint import Endpoint
from relay.wire.transport import Candidate, Transport
from tests.transceiver.sdp.reader import check
from tests.transceiver.sdp.samples import AUDIO, GROUP, LOCAL, OFFER, SESSION, VIDEO, answer, plan
from transceiver.plan import Credentials, Plan
from transceiver.sdp import Local, read_offer


def told(text: str, local: Local, before: str | None = None, previous: Plan | None = None) -> str:
    offer = read_offer(text)
    return offer.answer(offer.plan(previous), local, before)


def test_an_answer_in_full() -> None:
    lines = answer(SESSION + GROUP + AUDIO + VIDEO).split("\r\n")
    assert lines == [
        *("v=0", "o=- 42 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=ice-lite", "a=group:BUNDLE 0"),
        "m=audio 3478 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 203.0.113.10",
        "a=mid:0",
        "a=ice-ufrag:server0",
        "a=ice-pwd:" + "0" * 24,
        "a=fingerprint:sha-256 " + ":".join(["CD"] * 32),
        "a=setup:passive",
        "a=candidate:0 1 udp 2130706431 203.0.113.10 3478 typ host",
        "a=candidate:1 1 udp 2130706175 2001:db8::10 3478 typ host",
        "a=candidate:2 1 tcp 2124414463 203.0.113.10 443 typ host tcptype passive",
        "a=end-of-candidates",
        "a=rtcp-mux",
        "a=sendrecv",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=msid:icelane audio",
        "a=ssrc:1234 cname:icelane",
        *("m=video 0 UDP/TLS/RTP/SAVPF 96 97", "c=IN IP4 0.0.0.0", "a=mid:2", "a=inactive", ""),
    ]


@pytest.mark.parametrize(
    ("candidates", "media", "connection"),
    [
        ((), "m=audio 9 ", "c=IN IP4 0.0.0.0"),
        ((Candidate(Endpoint("192.0.2.1", 443), Transport.TCP),), "m=audio 9 ", "c=IN IP4 0.0.0.0"),
        ((Candidate(Endpoint("2001:db8::1", 5)),), "m=audio 5 ", "c=IN IP6 2001:db8::1"),
        (
            (
                Candidate(Endpoint("192.0.2.1", 443), Transport.TCP),
                Candidate(Endpoint("192.0.2.2", 6)),
            ),
            "m=audio 6 ",
            "c=IN IP4 192.0.2.2",
        ),
    ],
)
def test_the_default_candidate_is_the_first_of_udp(
    candidates: tuple[Candidate, ...], media: str, connection: str
) -> None:
    text = told(SESSION + AUDIO, replace(LOCAL, candidates=candidates))
    assert media in text
    assert connection in text.split("\r\n")
    assert text.count("a=candidate:") == len(candidates)


def test_priorities_fall_and_tcp_comes_after_udp() -> None:
    found = [
        (each.split()[2], int(each.split()[3]))
        for each in answer(SESSION + AUDIO).split("\r\n")
        if "candidate:" in each
    ]
    assert [transport for transport, _ in found] == ["udp", "udp", "tcp"]
    assert sorted((priority for _, priority in found), reverse=True) == [each for _, each in found]


def test_nothing_unknown_is_echoed() -> None:
    noise = "a=never-heard:1\r\na=extmap-allow-mixed\r\na=rtcp-xr:rcvr-rtt=all\r\na=rid:1 send\r\n"
    text = SESSION + noise + AUDIO + noise
    assert answer(text) == answer(SESSION + AUDIO)
    check(text, answer(text))


def test_our_init_is_told_only_to_a_client_that_has_one() -> None:
    assert "sctp-init" not in answer(OFFER)


def test_the_version_rises_by_one_when_the_answer_has_changed_and_only_then() -> None:
    first = told(OFFER, LOCAL)
    previous = plan(OFFER)
    assert told(OFFER, LOCAL, first, previous) == first
    held = told(OFFER + "a=x\r\n", LOCAL, first, previous)
    assert held == first
    second = told(OFFER.replace("a=rtcp-mux", "a=sendonly\r\na=rtcp-mux"), LOCAL, first, previous)
    assert "o=- 42 2 IN" in second
    third = told(OFFER, LOCAL, second, previous)
    assert "o=- 42 3 IN" in third
    assert third.replace("o=- 42 3 ", "o=- 42 1 ") == first


def test_a_restart_has_new_credentials_in_the_answer() -> None:
    first = told(OFFER, LOCAL)
    fresh = replace(LOCAL, credentials=(Credentials("fresh", "f" * 24),))
    second = told(OFFER.replace("abcd\r", "wxyz\r"), fresh, first, plan(OFFER))
    assert second.count("a=ice-ufrag:fresh\r\n") == 2
    assert "o=- 42 2 IN" in second


def test_a_text_that_is_no_answer_of_ours_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no answer of ours"):
        told(OFFER, LOCAL, "v=0\r\nx\r\n")
