"""RFC 2198 as clients write it, and as nobody should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transceiver.media.errors import RtpError
from transceiver.media.red import MAX_EARLIER, Block, split

# A frame of Opus and the one 20 ms before it, as libwebrtc writes them.
PAYLOAD = bytes.fromhex("ef0f0003 6f 616263 64656667".replace(" ", ""))


def test_a_frame_and_the_one_before_it() -> None:
    assert split(PAYLOAD) == [Block(111, 960, b"abc"), Block(111, 0, b"defg")]


def test_a_frame_alone_has_one_byte_before_it() -> None:
    assert split(b"\x6fabc") == [Block(111, 0, b"abc")]
    assert split(b"\x6f") == [Block(111, 0, b"")]


def test_the_latest_of_many_are_looked_at() -> None:
    headers = b"".join(
        bytes([0x80 | 111]) + ((960 * back << 10) + 1).to_bytes(3, "big")
        for back in range(9, 0, -1)
    )
    blocks = split(headers + b"\x6f" + b"abcdefghi" + b"own")
    assert len(blocks) == MAX_EARLIER + 1
    assert blocks[-2:] == [Block(111, 960, b"i"), Block(111, 0, b"own")]


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", "without a frame of its own"),
        (PAYLOAD[:3], "a header of redundant audio is cut short"),
        (PAYLOAD[:4], "without a frame of its own"),
        (PAYLOAD[:7], "runs over the end"),
    ],
)
def test_what_is_wrong_is_said(payload: bytes, says: str) -> None:
    with pytest.raises(RtpError, match=says):
        split(payload)


@given(st.binary(max_size=80))
def test_random_bytes_raise_only_the_documented_error(payload: bytes) -> None:
    try:
        blocks = split(payload)
    except RtpError:
        return
    assert 1 <= len(blocks) <= MAX_EARLIER + 1
    assert sum(len(each.payload) for each in blocks) < len(payload)
