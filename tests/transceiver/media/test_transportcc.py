import struct

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from transceiver.media.errors import RtcpError
from transceiver.media.transportcc import MAX_PACKETS, STEP, Feedback, read, write


def body(base: int, count: int, reference: int, chunks: list[int], deltas: bytes) -> bytes:
    head = struct.pack("!HHI", base, count, (reference & 0xFFFFFF) << 8 | 7)
    return head + b"".join(chunk.to_bytes(2, "big") for chunk in chunks) + deltas


def test_a_run_of_packets_a_step_apart() -> None:
    found = read(1, 2, body(65535, 3, 10, [0x2003], b"\x04\x50\x50"))
    assert (found.ssrc, found.media, found.base, found.number) == (1, 2, 65535, 7)
    assert found.arrivals == pytest.approx((0.641, 0.661, 0.681))


def test_single_bits_and_pairs_of_bits() -> None:
    ones = read(1, 2, body(0, 14, 0, [0x8000 | 0b10_0000_0000_0001], b"\x04\x04"))
    assert ones.arrivals == (0.001, *(None,) * 12, 0.002)
    pairs = read(1, 2, body(0, 7, 0, [0xC000 | 0b10_00_01_00_00_00_00], b"\xff\xfc\x04"))
    assert pairs.arrivals == (-0.001, None, 0.0, None, None, None, None)


def test_time_before_the_reference_has_a_sign() -> None:
    assert read(1, 2, body(0, 1, -1, [0x2001], b"\x00")).arrivals == (-0.064,)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        body(0, 1, 0, [], b""),
        body(0, 2, 0, [0x2002], b"\x01"),
        body(0, 1, 0, [0x4001], b"\x01"),
        body(0, MAX_PACKETS + 1, 0, [0x1FFF], b""),
    ],
)
def test_one_that_ends_too_early_or_is_too_long_is_refused(broken: bytes) -> None:
    with pytest.raises((RtcpError, struct.error)):
        read(1, 2, broken)


steps = st.none() | st.integers(0, 300) | st.integers(-0x8000, 0x7FFF) | st.just(0)


@seed(13)
@given(st.lists(steps, max_size=60), st.integers(0, 65535), st.integers(0, 10**6))
def test_what_is_written_is_read_again(deltas: list[int | None], base: int, start: int) -> None:
    arrivals: list[float | None] = []
    moment = start
    for delta in deltas:
        moment += delta or 0
        arrivals.append(None if delta is None else moment * STEP)
    found = read(3, 4, write(Feedback(3, 4, base, 5, tuple(arrivals))))
    assert (found.base, found.number, len(found.arrivals)) == (base, 5, len(arrivals))
    for before, after in zip(arrivals, found.arrivals, strict=True):
        if before is None:
            assert after is None
        else:
            assert after == pytest.approx(before, abs=STEP / 4)


def test_many_equal_ones_take_little_room() -> None:
    arrivals = tuple(0.02 * number for number in range(100))
    assert len(write(Feedback(1, 2, 0, 0, arrivals))) == 8 + 4 + 100
