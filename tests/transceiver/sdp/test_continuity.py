"""Later offers of a call: hold, resume, restart, sections that come and go."""

from dataclasses import replace

import pytest

from tests.transceiver.sdp.samples import (
    AUDIO,
    DATA,
    DTLS,
    GROUP,
    OFFER,
    SESSION,
    VIDEO,
    answer,
    plan,
    without,
)
from tests.transceiver.sdp.test_data import INIT, init_of
from transceiver.errors import OfferError
from transceiver.plan import AudioPlan, DtlsRole, Plan
from transceiver.sdp import read_offer
from transceiver.sdp.continuity import MAX_TRANSPORTS

FIRST = plan(OFFER)
NO_AUDIO = OFFER.replace("audio 9", "audio 0")
NO_DATA = OFFER.replace("application 9", "application 0")
OTHER_DATA = DATA.replace("mid:1", "mid:7")


def audio(made: Plan) -> AudioPlan:
    assert made.audio is not None
    return made.audio


def test_the_same_offer_comes_to_the_same_plan() -> None:
    assert plan(OFFER, FIRST) == FIRST


@pytest.mark.parametrize(
    ("text", "receive", "send"),
    [
        (OFFER.replace(DATA, "a=sendonly\r\n" + DATA), True, False),
        (OFFER.replace(DATA, "a=inactive\r\n" + DATA), False, False),
        (OFFER.replace(DATA, "a=recvonly\r\n" + DATA), False, True),
        # The hold of old: no address. With port 9 or candidates it says that they stand elsewhere.
        (OFFER.replace("audio 9", "audio 5004"), True, False),
        (OFFER.replace("audio 9", "audio 5004").replace("0.0.0.0", "192.0.2.1"), True, True),
        (
            OFFER.replace("audio 9", "audio 5004").replace(
                DATA, "a=candidate:1 1 udp 1 192.0.2.1 5004 typ host\r\n" + DATA
            ),
            True,
            True,
        ),
    ],
)
def test_hold_and_resume(text: str, receive: bool, send: bool) -> None:
    held = plan(text, FIRST)
    assert replace(held, audio=replace(audio(held), receive=True, send=True)) == FIRST
    assert (audio(held).receive, audio(held).send) == (receive, send)
    assert plan(OFFER, held) == FIRST


def test_an_address_of_zeros_holds_no_call_that_begins() -> None:
    assert audio(plan(OFFER.replace("audio 9", "audio 5004"))).send


def test_a_restart_of_ice_changes_credentials_and_nothing_else() -> None:
    restarted = plan(OFFER.replace("abcd\r", "wxyz\r"), FIRST)
    assert restarted == replace(FIRST, transports=(replace(FIRST.transports[0], ufrag="wxyz"),))


def test_data_channels_are_added() -> None:
    alone = plan(SESSION + "a=group:BUNDLE 0\r\n" + AUDIO)
    both = plan(OFFER, alone)
    assert both == FIRST
    apart = plan(SESSION + "a=group:BUNDLE 0\r\n" + AUDIO + DATA.replace("abcd\r", "data\r"), alone)
    assert [each.ufrag for each in apart.transports] == ["abcd", "data"]
    assert apart.transports[0] == alone.transports[0]


def test_sections_end_and_come_back() -> None:
    without_data = plan(NO_DATA, FIRST)
    assert without_data == replace(FIRST, data=None)
    assert "m=application 0" in answer(NO_DATA, FIRST)
    assert plan(OFFER, without_data) == FIRST
    without_audio = plan(NO_AUDIO, FIRST)
    assert without_audio == replace(FIRST, audio=None)
    assert plan(OFFER, without_audio) == FIRST
    moved = plan(NO_DATA.replace("BUNDLE 0 1", "BUNDLE 0 7") + OTHER_DATA, without_data)
    assert moved.data is not None
    assert (moved.data.section, moved.data.transport, moved.sections) == (2, 0, 3)


def test_the_section_of_one_that_has_ended_may_become_another() -> None:
    text = SESSION + "a=group:BUNDLE 0 2\r\n" + AUDIO + VIDEO
    assert plan(text, plan(NO_DATA, FIRST)).data is None


def test_the_audio_section_stays_though_another_comes_before_it() -> None:
    two = AUDIO.replace("mid:0", "mid:5") + DATA + AUDIO
    text = SESSION + "a=group:BUNDLE 5 1 0\r\n" + two
    closed = text.replace("audio 9", "audio 0", 1)
    before = plan(closed)
    assert audio(before).section == 2
    assert audio(plan(text, before)).section == 2


def test_the_data_section_stays_though_another_comes_before_it() -> None:
    text = SESSION + "a=group:BUNDLE 0 7 1\r\n" + AUDIO + OTHER_DATA + DATA
    before = plan(text.replace("application 9", "application 0", 1))
    assert before.data is not None
    assert before.data.section == 2
    assert plan(text, before).data == before.data


def test_a_transport_keeps_its_index_when_its_section_has_ended() -> None:
    apart = SESSION + AUDIO + DATA.replace("abcd\r", "data\r")
    before = plan(apart)
    after = plan(apart.replace("audio 9", "audio 0"), before)
    assert after.transports == before.transports
    assert after.data is not None
    assert after.data.transport == 1
    assert "a=ice-ufrag:server1\r\n" in answer(apart.replace("audio 9", "audio 0"), before)


def test_sections_that_were_apart_stay_so_when_the_client_would_bundle_them() -> None:
    before = plan(SESSION + AUDIO + DATA)
    after = plan(OFFER, before)
    assert after == before
    assert "a=group" not in answer(OFFER, before)


def test_transport_attributes_may_stand_in_one_section_of_the_group() -> None:
    bare = without(DATA, "a=ice-", "a=fingerprint", "a=setup")
    assert plan(SESSION + GROUP + AUDIO + bare, FIRST) == FIRST


def test_calls_do_not_get_transports_without_end() -> None:
    made = plan(SESSION + AUDIO)
    text = SESSION + AUDIO
    for index in range(MAX_TRANSPORTS - 1):
        text = text.replace("application 9", "application 0")
        text += DATA.replace("mid:1", f"mid:d{index}")
        made = plan(text, made)
    assert len(made.transports) == MAX_TRANSPORTS
    with pytest.raises(OfferError, match="transports"):
        plan(text.replace("application 9", "application 0") + OTHER_DATA, made)


def test_the_role_stays() -> None:
    client = read_offer(OFFER).plan(role=DtlsRole.CLIENT)
    assert read_offer(OFFER).plan(client) == client
    assert plan(OFFER.replace("actpass", "passive"), client) == client
    assert plan(OFFER.replace("actpass", "active"), FIRST) == FIRST


def test_one_fingerprint_of_before_is_enough() -> None:
    more = "a=fingerprint:sha-1 " + ":".join(["01"] * 20) + "\r\n"
    assert len(plan(OFFER.replace(DTLS, DTLS + more), FIRST).transports[0].fingerprints) == 2


def test_the_association_goes_on() -> None:
    snap = SESSION + GROUP + AUDIO + DATA + init_of(INIT)
    first = plan(snap)
    assert plan(snap, first) == first
    assert plan(OFFER, first).data == FIRST.data
    assert plan(snap, FIRST) == FIRST  # it has begun without


def test_codecs_may_come_and_go() -> None:
    more = OFFER.replace("SAVPF 111", "SAVPF 0 111").replace(
        DATA, "a=rtpmap:101 telephone-event/8000\r\n" + DATA
    )
    changed = plan(more, FIRST)
    assert [each.payload_type for each in audio(changed).formats] == [0, 111]
    assert plan(OFFER, changed) == FIRST
    moved = OFFER.replace("111", "112")
    assert [each.payload_type for each in audio(plan(moved, FIRST)).formats] == [112]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SESSION + GROUP + AUDIO, "1 sections and the last one had 2"),
        (SESSION + GROUP + DATA + AUDIO, "order of sections"),
        (SESSION + GROUP + AUDIO + VIDEO, "order of sections"),
        (OFFER.replace("mid:0", "mid:x").replace("BUNDLE 0", "BUNDLE x"), "another a=mid"),
        (OFFER.replace("opus/48000/2", "PCMU/8000"), "payload type 111 was opus"),
        (OFFER.replace("opus/48000/2", "telephone-event/8000"), "payload type 111 was opus"),
        (SESSION + AUDIO + DATA, "out of the BUNDLE group"),
        (OFFER.replace("AB:AB", "CD:CD"), "fingerprint"),
        (OFFER.replace("actpass", "passive"), "a=setup:actpass"),
        (OFFER.replace("sctp-port:5000", "sctp-port:5001"), "sctp-port"),
        (OFFER.replace("opus", "speex"), "payload type 111"),
        (OFFER.replace("ice-ufrag:abcd", "ice-ufrag:a"), "ufrag"),
        (NO_AUDIO.replace("application 9", "application 0"), "hang up"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(text: str, words: str) -> None:
    before = plan(OFFER)
    with pytest.raises(OfferError, match=words):
        plan(text, before)
    assert before == FIRST


def test_another_init_chunk_is_refused() -> None:
    first = plan(OFFER + init_of(INIT))
    with pytest.raises(OfferError, match="sctp-init"):
        plan(OFFER + init_of(INIT[:4] + b"\x01\x02\x03\x04" + INIT[8:]), first)


def test_an_event_keeps_its_number() -> None:
    events = OFFER.replace("SAVPF 111", "SAVPF 111 101").replace(
        DATA, "a=rtpmap:101 telephone-event/8000\r\n" + DATA
    )
    with pytest.raises(OfferError, match="payload type 101 was telephone-event"):
        plan(events.replace("telephone-event/8000", "PCMU/8000"), plan(events))


def test_redundancy_keeps_its_number() -> None:
    lines = "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n"
    offer = OFFER.replace("SAVPF 111", "SAVPF 111 63").replace(DATA, lines + DATA)
    before = plan(offer)
    assert plan(offer, before).audio == before.audio
    with pytest.raises(OfferError, match="63 was red and is 'telephone-event' now"):
        plan(offer.replace("red/48000/2", "telephone-event/8000"), before)
