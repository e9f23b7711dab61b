"""Datagrams on a stream: whatever pieces it comes in, the same datagrams come out."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.errors import FramingError
from relay.wire.framing import HEADER_SIZE, MAX_PAYLOAD, FrameReader, frame

LONGEST = 40
DATAGRAMS = st.lists(st.binary(min_size=1, max_size=LONGEST), max_size=12)
CUTS = st.lists(st.integers(0, 600), max_size=20)


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    """The stream, cut at these places."""
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    return [stream[start:end] for start, end in pairwise(ends)]


def read(stream: bytes, cuts: list[int]) -> tuple[list[bytes], bool]:
    """What comes out of a stream in pieces, and whether it could be read to its end."""
    reader, datagrams = FrameReader(LONGEST), []
    try:
        for piece in pieces(stream, cuts):
            for datagram in reader.feed(piece):
                datagrams.append(datagram)  # noqa: PERF402  # extend would lose those before an error
    except FramingError:
        return datagrams, False
    return datagrams, True


def test_a_frame_is_the_length_in_two_bytes_and_the_datagram() -> None:
    assert frame(b"abc") == b"\x00\x03abc"
    assert frame(bytes(MAX_PAYLOAD))[:3] == b"\xff\xff\x00"


@given(DATAGRAMS, CUTS)
def test_any_split_of_the_stream_gives_the_same_datagrams(
    datagrams: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(map(frame, datagrams))
    assert read(stream, cuts) == (datagrams, True)
    assert read(stream, list(range(len(stream)))) == (datagrams, True)


@given(st.binary(max_size=300), CUTS)
def test_any_split_of_any_bytes_gives_the_same_end(stream: bytes, cuts: list[int]) -> None:
    assert read(stream, cuts) == read(stream, []) == read(stream, list(range(len(stream))))


@given(DATAGRAMS, st.sampled_from([LONGEST + 1, 0xFFFF]), st.binary(max_size=9), CUTS)
def test_what_stands_before_a_bad_frame_comes_out(
    datagrams: list[bytes], length: int, after: bytes, cuts: list[int]
) -> None:
    stream = b"".join(map(frame, datagrams)) + length.to_bytes(2, "big") + after
    assert read(stream, cuts) == (datagrams, False)


@pytest.mark.parametrize("size", [1, LONGEST])
def test_the_shortest_and_the_longest_are_taken(size: int) -> None:
    assert list(FrameReader(LONGEST).feed(frame(bytes(size)))) == [bytes(size)]


def test_a_length_that_is_not_taken_ends_the_stream_before_its_datagram_comes() -> None:
    size = LONGEST + 1
    with pytest.raises(FramingError, match=f"a frame of {size} bytes, and not {LONGEST} or less"):
        list(FrameReader(LONGEST).feed(size.to_bytes(2, "big")))


@given(DATAGRAMS, st.lists(st.integers(0, 12)), CUTS)
def test_empty_frames_are_passed_over(
    datagrams: list[bytes], places: list[int], cuts: list[int]
) -> None:
    frames = [frame(each) for each in datagrams]
    for place in places:
        frames.insert(place, frame(b""))
    assert read(b"".join(frames), cuts) == (datagrams, True)


@given(st.binary(max_size=300), CUTS)
def test_it_keeps_less_than_one_frame(stream: bytes, cuts: list[int]) -> None:
    reader = FrameReader(LONGEST)
    try:
        for piece in pieces(stream, cuts):
            list(reader.feed(piece))
            assert len(reader.rest) < HEADER_SIZE + LONGEST
    except FramingError:
        return


def test_it_knows_whether_a_frame_has_begun() -> None:
    reader = FrameReader(LONGEST)
    for byte in frame(b"ab")[:-1]:
        assert list(reader.feed(bytes([byte]))) == []
        assert reader.is_midway
    assert list(reader.feed(b"b")) == [b"ab"]
    assert not reader.is_midway


@given(st.binary(min_size=1, max_size=LONGEST), st.integers(0, LONGEST + HEADER_SIZE))
def test_another_reader_goes_on_in_the_middle_of_a_frame(datagram: bytes, cut: int) -> None:
    stream = frame(datagram)
    first = FrameReader(LONGEST)
    told = list(first.feed(stream[:cut]))
    told += FrameReader(LONGEST, first.rest).feed(stream[cut:])
    assert told == [datagram]
