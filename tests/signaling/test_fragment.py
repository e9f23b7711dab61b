import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.errors import FragmentError
from signaling.fragment import MAX_FRAGMENT, read_fragment

CANDIDATES = (
    "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw\r\n"
    "a=end-of-candidates\r\n"
)
CREDENTIALS = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
HEAD = "a=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
READ = ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")


@pytest.mark.parametrize(
    ("fragment", "credentials"),
    [
        (HEAD + "a=mid:0\r\n" + CREDENTIALS + CANDIDATES, READ),  # section 4.3.3's example
        (CREDENTIALS.replace("\r\n", "\n"), READ),
        (CREDENTIALS + HEAD + CREDENTIALS, READ),
        (CANDIDATES, None),
        (HEAD, None),
        ("a=ice-ufrag: EsAw \na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1", READ),
    ],
)
def test_of_a_fragment_the_credentials_count(
    fragment: str, credentials: tuple[str, str] | None
) -> None:
    assert read_fragment(fragment.encode()) == credentials


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "it is empty"),
        (b"\r\n \r\n", "it is empty"),
        (b"\xff", "not UTF-8"),
        (b'[{"candidate": ""}]', "no line of SDP"),
        (b"a=ice-ufrag:EsAw", "belong together"),
        (b"a=ice-pwd:EsAw", "belong together"),
        ((CREDENTIALS + "a=ice-ufrag:other").encode(), "several a=ice-ufrag"),
        (b"a=x\n" * MAX_FRAGMENT, f"more than {MAX_FRAGMENT} bytes"),
    ],
)
def test_what_is_no_fragment_is_refused_in_words(raw: bytes, reason: str) -> None:
    with pytest.raises(FragmentError, match=reason):
        read_fragment(raw)


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(FragmentError):
        read_fragment(raw)
