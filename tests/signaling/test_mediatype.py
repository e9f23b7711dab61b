"""Media types as clients write them, and as nobody does who means well."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.errors import ApiError
from signaling.mediatype import UNTYPED, read_described, require_type
from tests.signaling.strangers import NO_BOUNDARY, TRAPS


@pytest.mark.parametrize(
    ("written", "word", "parameters"),
    [
        ("application/sdp", "application/sdp", {}),
        (" Application/SDP ; Charset=UTF-8", "application/sdp", {"charset": "UTF-8"}),
        ("application/sdp;", "application/sdp", {}),
        ("a/b; ; x=y;", "a/b", {"x": "y"}),
        ('a/b; x="y; \\"z\\\\"', "a/b", {"x": 'y; "z\\'}),
        ("a/b; x=1; X=2", "a/b", {"x": "1"}),
        ("a/b; x = 1", "a/b", {"x": "1"}),
        ("a/b; x=", "a/b", {"x": ""}),
        ("a/b; boundary=----=_Part_1", "a/b", {"boundary": "----=_Part_1"}),
        ("a/b; x*=utf-8''y", "a/b", {"x*": "utf-8''y"}),
        ('form-data; name="sdp"; filename="größe.sdp"', "form-data", None),
    ],
)
def test_what_clients_write_is_read(
    written: str, word: str, parameters: dict[str, str] | None
) -> None:
    described = read_described(written)
    assert described is not None
    assert described.word == word
    if parameters is not None:
        assert described.parameters == parameters


@pytest.mark.parametrize(
    "written", ["", ";", " ; x=y", "a/b c", "a/b; x", 'a/b; x="y', 'a/b; x="y"z', "\udcff"]
)
def test_what_cannot_be_read(written: str) -> None:
    assert read_described(written) is None


@pytest.mark.parametrize("trap", [NO_BOUNDARY, *TRAPS])
def test_what_the_package_for_mail_raises_on_is_no_media_type_of_ours(trap: str) -> None:
    with pytest.raises(ApiError, match="Send it as application/json, not as"):
        require_type({"Content-Type": trap}, ("application/json",), "Accept-Post")


@given(st.text() | st.text(st.sampled_from('a/b;="\\*0( \t'), max_size=40))
def test_whatever_comes_it_is_read_or_not(written: str) -> None:
    described = read_described(written)
    assert described is None or described.word


def test_a_body_of_a_type_that_is_taken_passes() -> None:
    sent = {"Content-Type": "APPLICATION/json; charset=utf-8"}
    assert require_type(sent, ("a/b", "application/json"), "Accept-Post") == "application/json"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({}, f"not as {UNTYPED}."),
        ({"Content-Type": "text/plain; x=y"}, "not as text/plain."),
        ({"Content-Type": "application/sdp;charset*0*"}, "charset*0*', which cannot be read."),
        ({"Content-Type": "\udcff"}, r"not as '\udcff', which cannot be read."),
        ({"Content-Type": "a" * 8000}, f"not as {'a' * 60}."),
    ],
)
def test_another_one_is_told_what_is_taken(sent: dict[str, str], said: str) -> None:
    with pytest.raises(ApiError) as refused:
        require_type(sent, ("application/sdp", "a/b"), "Accept-Patch")
    assert (refused.value.status, refused.value.code) == (415, "unsupported_media_type")
    assert refused.value.message.startswith("Send it as one of application/sdp, a/b, ")
    assert refused.value.message.endswith(said)
    assert refused.value.headers == {"Accept-Patch": "application/sdp, a/b"}
