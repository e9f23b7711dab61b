"""Sections of data channels: spellings of all times, sizes, SNAP."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transceiver.sdp.samples import AUDIO, DATA, SESSION, answer, plan, without
from transceiver.errors import OfferError
from transceiver.plan import DataPlan
from transceiver.sdp.data import read_init

BARE = without(DATA, "a=sctp-port", "a=max-message-size")
MEDIA = "UDP/DTLS/SCTP webrtc-datachannel"
# Chromium's: 1.3 MB window, forward-TSN and a list of supported extensions, the last one unpadded.
INIT = base64.b64decode("AQAAHizro1MAUAAA/////0tnxsDAAAAEgAgABoLA")


def data(text: str) -> DataPlan:
    found = plan(SESSION + text).data
    assert found is not None
    return found


def init_of(chunk: bytes) -> str:
    return f"a=sctp-init:{base64.b64encode(chunk).decode()}\r\n"


@pytest.mark.parametrize(
    ("text", "port", "size"),
    [
        (DATA, 5000, 262144),
        (BARE, 5000, 65536),
        (BARE + "a=sctp-port:5001\r\na=max-message-size:0\r\n", 5001, 0),
        (BARE + "a=max-message-size:16\r\n", 5000, 16),
        (DATA.replace("UDP/", "TCP/"), 5000, 262144),
        (DATA.replace("UDP/DTLS/SCTP", "DTLS/SCTP"), 5000, 262144),
        (DATA.replace("UDP/DTLS", "udp/dtls").replace("webrtc-d", "WEBRTC-D"), 5000, 262144),
        (BARE.replace(MEDIA, "DTLS/SCTP 5000"), 5000, 65536),
        (
            BARE.replace(MEDIA, "DTLS/SCTP 6000") + "a=sctpmap:6000 webrtc-datachannel 1024\r\n",
            6000,
            65536,
        ),
        (
            BARE.replace(MEDIA, "UDP/DTLS/SCTP 6000")
            + "a=sctpmap:6000 webrtc-datachannel 1024\r\na=max-message-size:100\r\n",
            6000,
            100,
        ),
    ],
)
def test_spellings(text: str, port: int, size: int) -> None:
    found = data(text)
    assert (found.port, found.max_message_size, found.mid, found.sctp_init) == (
        port,
        size,
        "1",
        None,
    )


@pytest.mark.parametrize(
    "text",
    [
        DATA.replace(MEDIA, "UDP/BFCP *"),
        DATA.replace(MEDIA, "UDP/DTLS/SCTP t38"),
        DATA.replace(MEDIA, "RTP/AVP 5000"),
        BARE.replace(MEDIA, "DTLS/SCTP 5000") + "a=sctpmap:5000 t38 16\r\n",
        DATA.replace("application 9", "application 0"),
        DATA.replace("m=application", "m=message"),
        BARE + "a=sctp-port:0\r\n",
    ],
)
def test_a_section_that_is_none_of_data_channels_is_rejected(text: str) -> None:
    assert plan(SESSION + AUDIO + text).data is None
    assert "m=application 0" in answer(SESSION + AUDIO + text) or "m=message 0" in answer(
        SESSION + AUDIO + text
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a=sctp-port:x\r\n", "sctp-port"),
        ("a=sctp-port:65536\r\n", "sctp-port"),
        ("a=sctp-port:\r\n", "sctp-port"),
        ("a=max-message-size:-1\r\n", "max-message-size"),
        ("a=max-message-size:\r\n", "max-message-size"),
        ("a=max-message-size:" + "9" * 5000 + "\r\n", "max-message-size"),
    ],
)
def test_broken_values_are_refused_in_words(line: str, words: str) -> None:
    with pytest.raises(OfferError, match=words):
        plan(SESSION + AUDIO + BARE + line)


def test_the_answer_has_the_spelling_of_the_offer() -> None:
    assert "m=application 3478 UDP/DTLS/SCTP webrtc-datachannel\r\n" in answer(SESSION + DATA)
    legacy = answer(SESSION + BARE.replace(MEDIA, "DTLS/SCTP 6000"))
    assert "m=application 3478 DTLS/SCTP 5000\r\n" in legacy
    assert "a=sctpmap:5000 webrtc-datachannel 65535\r\n" in legacy
    assert "sctp-port" not in legacy


def test_snap() -> None:
    offer = DATA + init_of(INIT)
    assert data(offer).sctp_init == INIT
    assert "a=sctp-init:AQAAFBEREREAAQAAAQABACIiIiI=\r\n" in answer(SESSION + offer)
    assert "sctp-init" not in answer(SESSION + DATA)


def changed(position: int, value: bytes) -> bytes:
    return INIT[:position] + value + INIT[position + len(value) :]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "base64"),
        ("!", "base64"),
        (base64.b64encode(INIT).decode()[:-1], "base64"),
        (base64.b64encode(INIT).decode()[:4] + " " + base64.b64encode(INIT).decode()[4:], "base64"),
        ("\u00e4" * 40, "base64"),
        (base64.b64encode(INIT[:19]).decode(), "base64"),
        (base64.b64encode(INIT + bytes(2000)).decode(), "base64"),
        (base64.b64encode(changed(0, b"\2")).decode(), "type"),
        (base64.b64encode(changed(1, b"\1")).decode(), "type"),
        (base64.b64encode(changed(2, b"\0\x1f")).decode(), "length"),
        (base64.b64encode(changed(2, b"\0\x12")).decode(), "length"),
        (base64.b64encode(INIT + bytes(4)).decode(), "length"),
        (base64.b64encode(changed(4, bytes(4))).decode(), "tag"),
        (base64.b64encode(changed(8, bytes(4))).decode(), "window"),
        (base64.b64encode(changed(12, bytes(2))).decode(), "streams"),
        (base64.b64encode(changed(14, bytes(2))).decode(), "streams"),
        (base64.b64encode(changed(22, b"\0\x03")).decode(), "byte 20"),
        (base64.b64encode(changed(26, b"\0\xff")).decode(), "byte 24"),
    ],
)
def test_a_broken_init_is_an_error_of_the_offer(text: str, words: str) -> None:
    with pytest.raises(OfferError, match=words):
        read_init(text)
    with pytest.raises(OfferError, match="sctp-init"):
        plan(SESSION + DATA + f"a=sctp-init:{text}\r\n")


def test_an_init_without_parameters_and_one_with_padding() -> None:
    assert (
        read_init(base64.b64encode(changed(2, b"\0\x14")[:20]).decode())
        == changed(2, b"\0\x14")[:20]
    )
    assert read_init(base64.b64encode(INIT + bytes(2)).decode()) == INIT + bytes(2)


@given(st.binary(max_size=60))
def test_any_chunk_is_read_or_refused(tail: bytes) -> None:
    for chunk in (
        tail,
        INIT[:20] + tail,
        INIT[:2] + (20 + len(tail)).to_bytes(2, "big") + INIT[4:20] + tail,
    ):
        with contextlib.suppress(OfferError):
            assert read_init(base64.b64encode(chunk).decode()) == chunk
