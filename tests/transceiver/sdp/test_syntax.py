"""The text of a description: lines, levels, limits."""

import ast

import pytest

from tests.transceiver.sdp.samples import AUDIO, DATA, OFFER, SESSION, VIDEO
from transceiver.errors import OfferError
from transceiver.sdp.syntax import (
    MAX_SECTIONS,
    MAX_SIZE,
    Attributes,
    number,
    read_description,
    shown,
)


def test_a_description_is_taken_apart() -> None:
    description = read_description(OFFER)
    audio, data = description.sections
    assert (audio.index, audio.kind, audio.port, audio.mid) == (0, "audio", 9, "0")
    assert (audio.protocol, audio.formats) == ("UDP/TLS/RTP/SAVPF", ("111",))
    assert (data.index, data.kind, data.mid) == (1, "application", "1")
    assert data.formats == ("webrtc-datachannel",)
    assert description.session.first("group") == "BUNDLE 0 1"
    assert audio.connection == "IN IP4 0.0.0.0"


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_other_line_ends_are_read(end: str) -> None:
    sections = read_description(OFFER.replace("\r\n", end)).sections
    assert [section.kind for section in sections] == ["audio", "application"]


def test_unknown_lines_are_passed_over() -> None:
    noise = "nonsense\r\n\r\nx=y\r\n=\r\na=\r\na=:\r\na=never-heard-of:1 2 3\r\n\u2028\r\n"
    (section,) = read_description(SESSION + noise + AUDIO + noise).sections
    assert section.first("rtcp-mux") == ""


def test_a_section_inherits_what_it_does_not_say_itself() -> None:
    text = (
        SESSION
        + "c=IN IP4 192.0.2.1\r\na=x:session\r\na=y:session\r\n"
        + "m=audio 9 P 0\r\na=x:own\r\n"
    )
    (section,) = read_description(text).sections
    assert (section.first("x"), section.first("y"), section.first("z")) == ("own", "session", None)
    assert section.all("x") == ("own",)
    assert "y" in section
    assert section.connection == "IN IP4 192.0.2.1"
    (section,) = read_description(text + "c=IN IP4 192.0.2.2\r\n").sections
    assert section.connection == "IN IP4 192.0.2.2"


def test_names_of_attributes_are_read_in_any_case() -> None:
    assert Attributes(["ICE-Ufrag:abcd", "rtcp-mux "]).first("ice-ufrag") == "abcd"
    assert "rtcp-mux" in Attributes(["rtcp-mux "])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "v=0"),
        ("{}", "v=0"),
        ("v=1\r\n", "v=0"),
        ("\r\n" + OFFER, "v=0"),
        ("m=audio 9 X 0\r\n" + OFFER, "v=0"),
        ("v=0\r\n" + "x" * MAX_SIZE, "longer"),
        (SESSION + "m=audio 9 X 0\r\n" * (MAX_SECTIONS + 1), "more than 256 sections"),
        (SESSION + "m=audio nine RTP 0\r\n", "media line"),
        (SESSION + "m=audio 65536 RTP 0\r\n", "media line"),
        (SESSION + "m=audio \u0661 RTP 0\r\n", "media line"),
        (SESSION + "m=audio 9 RTP\r\n", "media line"),
        (SESSION + "m=\r\n", "media line"),
        (SESSION + "m=audio 9 RTP 0\0\r\n", "media line"),
        (SESSION + AUDIO + DATA.replace("mid:1", "mid:0"), "same a=mid"),
        (SESSION + AUDIO.replace("a=mid:0", "a=mid:"), "a=mid must"),
        (SESSION + AUDIO.replace("a=mid:0", "a=mid:a b"), "a=mid must"),
        (SESSION + AUDIO.replace("a=mid:0", "a=mid:\u00e4"), "a=mid must"),
    ],
)
def test_what_is_no_description_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(OfferError, match=words) as caught:
        read_description(text)
    assert caught.value.code == "invalid_sdp"


def test_a_number_of_ports_is_passed_over() -> None:
    assert read_description(SESSION + VIDEO.replace(" 9 ", " 9/2 ")).sections[0].port == 9


@pytest.mark.parametrize("text", [None, "", "-1", "+1", "1.0", " 1", "256", "\u00b2", "9" * 10000])
def test_what_is_no_number(text: str | None) -> None:
    assert number(text, 0, 255) is None


def test_numbers() -> None:
    assert (number("0", 0, 255), number("0255", 0, 255), number("7", 8, 9)) == (0, 255, None)


def test_an_error_shows_little_of_a_text() -> None:
    assert shown("a\nb") == r"'a\nb'"
    assert len(shown("x" * 100000)) < 100


@pytest.mark.parametrize("letter", ["m", "\n", "\u00e9", "\ufffd", "\U00010000"])
def test_a_text_is_shown_quoted_and_not_all_of_it_when_it_is_long(letter: str) -> None:
    assert shown(2 * letter) == ascii(2 * letter)
    for count in range(1, 200):
        written = shown(count * letter)
        assert written.isprintable()
        assert len(written) < 130
        text = ast.literal_eval(written)
        assert text == count * letter or (count * letter).startswith(text.removesuffix("..."))
