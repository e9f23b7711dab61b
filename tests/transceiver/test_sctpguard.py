"""What of SCTP packets may reach the association."""

import struct

import pytest
from aiortc import rtcsctptransport as aiortc_sctp
from hypothesis import given
from hypothesis import strategies as st

from transceiver.sctpguard import MAX_AHEAD, Chunk, Kind, Progress, chunks, fits

TAG = 77
UP = Progress(established=True, received=100, acknowledged=49, sent=60)


def chunk(kind: int, body: bytes = b"", length: int | None = None, flags: int = 0) -> bytes:
    """A chunk with its padding, which may lie about its length."""
    said = 4 + len(body) if length is None else length
    return struct.pack("!BBH", kind, flags, said) + body + bytes(-len(body) % 4)


def packet(*parts: bytes, tag: int = TAG) -> bytes:
    return struct.pack("!HHLL", 5000, 5000, tag, 0) + b"".join(parts)


def init(*parameters: bytes, tag: int = 5, streams: int = 8) -> bytes:
    return struct.pack("!LLHHL", tag, 1 << 17, streams, streams, 1) + b"".join(parameters)


def parameter(kind: int, value: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("!HH", kind, 4 + len(value) if length is None else length) + value


def sack(cumulative: int, *gaps: tuple[int, int], duplicates: int = 0) -> bytes:
    head = struct.pack("!LLHH", cumulative, 1 << 17, len(gaps), duplicates)
    return head + b"".join(struct.pack("!HH", *gap) for gap in gaps) + bytes(4 * duplicates)


DATA = chunk(Kind.DATA, bytes(12) + b"x", flags=3)
GOOD = [
    (Kind.DATA, bytes(12) + b"x"),
    (Kind.SACK, sack(1)),
    (Kind.SACK, sack(1, (2, 3), (5, 5), duplicates=2)),
    (Kind.HEARTBEAT, parameter(1, b"abcd")),
    (Kind.ABORT, b""),
    (Kind.SHUTDOWN, bytes(4)),
    (Kind.COOKIE_ECHO, b"biscuit"),
    (Kind.COOKIE_ACK, b""),
    (Kind.RECONFIG, parameter(13, bytes(12) + b"\0\1")),
    (Kind.FORWARD_TSN, bytes(8)),
]
BAD = {
    "data without a byte": (Kind.DATA, bytes(12)),
    "data that is cut": (Kind.DATA, bytes(8)),
    "a SACK with fewer gaps than it says": (Kind.SACK, sack(1, (1, 2))[:-4]),
    "a SACK that is cut": (Kind.SACK, bytes(8)),
    "a parameter of length 0": (Kind.HEARTBEAT, parameter(1, b"abcd", length=0)),
    "a parameter over the end": (Kind.ABORT, parameter(1, b"abcd", length=9)),
    "half a parameter's header": (Kind.ERROR, b"\0\1\0"),
    "a shutdown without a number": (Kind.SHUTDOWN, b""),
    "a reset with half a stream": (Kind.RECONFIG, parameter(13, bytes(13))),
    "a response that is cut": (Kind.RECONFIG, parameter(16, bytes(4))),
    "a forward TSN that is cut": (Kind.FORWARD_TSN, bytes(6)),
}


@pytest.mark.parametrize(("kind", "body"), GOOD)
def test_a_well_formed_chunk_passes(kind: Kind, body: bytes) -> None:
    assert chunks(packet(chunk(kind, body)), TAG) == [Chunk(kind, 0, body)]


@pytest.mark.parametrize(("kind", "body"), BAD.values(), ids=BAD)
def test_one_that_is_not_costs_itself_and_not_the_next(kind: Kind, body: bytes) -> None:
    found = chunks(packet(chunk(kind, body), DATA), TAG)
    assert [each.kind for each in found] == [Kind.DATA]


@pytest.mark.parametrize("length", [0, 3, 99])
def test_nothing_is_found_behind_a_wrong_length(length: int) -> None:
    found = chunks(packet(DATA, chunk(Kind.ABORT, b"", length), DATA), TAG)
    assert [each.kind for each in found] == [Kind.DATA]


def test_an_init_is_alone_and_has_no_tag_and_all_else_has_ours() -> None:
    begin = chunk(Kind.INIT, init(parameter(0xC000)))
    assert [each.kind for each in chunks(packet(begin, tag=0), TAG)] == [Kind.INIT]
    assert chunks(packet(begin), TAG) == []
    assert chunks(packet(begin, DATA, tag=0), TAG) == []
    assert chunks(packet(DATA, tag=0), TAG) == []
    assert chunks(packet(DATA, tag=TAG + 1), TAG) == []


@pytest.mark.parametrize("body", [init(tag=0), init(streams=0), init()[:15]])
def test_an_init_that_makes_no_sense(body: bytes) -> None:
    assert chunks(packet(chunk(Kind.INIT, body), tag=0), TAG) == []


def test_kinds_that_nobody_knows_are_passed_over() -> None:
    found = chunks(packet(chunk(63, b"?"), DATA), TAG)
    assert [each.kind for each in found] == [Kind.DATA]


@pytest.mark.parametrize(
    ("number", "taken"),
    [(101, True), (100 + MAX_AHEAD, True), (101 + MAX_AHEAD, False), (100, True), (2, True)],
)
def test_data_may_be_ahead_so_far_and_old_data_is_acknowledged_again(
    number: int, taken: bool
) -> None:
    assert fits(Chunk(Kind.DATA, 3, struct.pack("!L", number) + bytes(9)), UP) is taken


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        (sack(49), True),
        (sack(60), True),
        (sack(61), False),
        (sack(40), True),  # an old one, which aiortc passes over
        (sack(49, (2, 11)), True),
        (sack(49, (2, 12)), False),
        (sack(49, (3, 2)), False),
        (sack(49, (2, 4), (4, 5)), False),
        (sack(49, (0, 1)), False),
        (sack(49, (1, 65_535)), False),
    ],
)
def test_a_report_is_of_packets_that_were_sent(body: bytes, taken: bool) -> None:
    assert fits(Chunk(Kind.SACK, 0, body), UP) is taken


def test_before_the_client_has_begun_it_reports_nothing() -> None:
    early = UP._replace(established=False, received=None)
    for kind in (Kind.SACK, Kind.FORWARD_TSN, Kind.SHUTDOWN, Kind.DATA):
        assert not fits(Chunk(kind, 0, sack(49)), early)
    assert fits(Chunk(Kind.INIT, 0, init()), early)
    assert not fits(Chunk(Kind.INIT, 0, init()), UP)


@given(
    st.lists(
        st.tuples(st.sampled_from([*Kind, 63]), st.binary(max_size=40), st.integers(0, 60)),
        max_size=4,
    )
)
def test_whatever_passes_is_parsed_by_aiortc(parts: list[tuple[int, bytes, int]]) -> None:
    for honest in (True, False):
        made = [chunk(kind, body, None if honest else size) for kind, body, size in parts]
        for found in chunks(packet(*made), TAG):
            aiortc_sctp.CHUNK_TYPES[found.kind](flags=found.flags, body=found.body)
