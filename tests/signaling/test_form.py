import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.errors import FormError
from signaling.form import MAX_FIELDS, MAX_HEAD, read_form

TYPE = "multipart/form-data; boundary=b"
FIELD = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'


def test_fields_are_found_whatever_stands_around_them() -> None:
    body = b"a preamble\r\n" + FIELD % (b"sdp", b"v=0\r\na=--b\r\n") + FIELD % (b"x", b"")
    assert read_form(body + b"--b--\r\nan epilogue", TYPE) == {"sdp": b"v=0\r\na=--b\r\n", "x": b""}


def test_other_headers_and_padding_are_allowed() -> None:
    body = (
        b"--b \t\r\nContent-Type: application/sdp\r\n"
        b"content-disposition: form-data; filename=o.sdp; name=sdp\r\n\r\nv=0\r\n--b--"
    )
    assert read_form(body, 'multipart/form-data; charset=x; boundary="b"') == {"sdp": b"v=0"}


def test_a_header_may_be_folded_and_a_name_be_quoted_as_one_likes() -> None:
    head = b'X: y\r\nContent-Disposition: form-data;\r\n\tfilename="a;\xff"; name="s\\dp"'
    body = b"--b\r\n" + head + b"\r\n\r\nv=0\r\n--b--"
    assert read_form(body, TYPE) == {"sdp": b"v=0"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "ends before"),
        (b"hello", "ends before"),
        (FIELD % (b"sdp", b"v=0"), "ends before"),
        (b"--b\r\nhello\r\n--b--", "field 1 has no head"),
        (b"--bcd\r\n\r\n\r\n--b--", "field 1 has no head"),
        (b"--b\r\n\r\n\r\nv=0\r\n--b--", "needs a name"),
        (b"--b\r\nhello\r\n\r\nv=0\r\n--b--", "needs a name"),
        (FIELD % (b"", b"") + b"--b--", "needs a name"),
        *(
            (b"--b\r\nContent-Disposition: %b\r\n\r\nv=0\r\n--b--" % trap, "needs a name")
            for trap in (
                *(b"", b"\xff", b";", b"form-data; name", b"form-data; name*0*"),
                *(b"form-data; name*=idna''x", b"form-data; name*\xc2\xb2*=x", b"(" * 4000),
            )
        ),
        (FIELD % (b"x" * MAX_HEAD, b"") + b"--b--", "has no head, or one over"),
        (FIELD % (b"a", b"") * (MAX_FIELDS + 1) + b"--b--", "more than 16 fields"),
    ],
)
def test_what_is_no_form_is_refused_in_words(body: bytes, says: str) -> None:
    with pytest.raises(FormError, match=says):
        read_form(body, TYPE)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        f"x/y; boundary={'b' * 71}",
        "x/y; boundary=\xff",
        "x/y; boundary*=idna''b",
        "x/y; boundary*0*=b",
        'x/y; boundary="b',
    ],
)
def test_without_a_boundary_there_is_no_form(content_type: str) -> None:
    with pytest.raises(FormError, match="boundary"):
        read_form(FIELD % (b"a", b"") + b"--b--", content_type)


@given(
    st.lists(
        st.sampled_from(
            [
                b"--b",
                b"--",
                b"\r\n",
                b"Content-Disposition:",
                b"name=",
                b"\xff",
                b'"',
                b"=?x?q?=ff?=",
            ]
        )
        | st.binary(max_size=8)
    ).map(b"".join),
    st.text(max_size=20).map(TYPE.__add__) | st.text(),
)
def test_it_is_a_form_or_it_is_not(body: bytes, content_type: str) -> None:
    try:
        fields = read_form(body, content_type)
    except FormError:
        return
    assert len(fields) <= MAX_FIELDS
    assert sum(map(len, fields.values())) <= len(body)
