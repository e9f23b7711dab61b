"""Counts by sequence number, from packets in any order."""

import random
import struct

from hypothesis import given
from hypothesis import strategies as st

from transceiver.rtp import MAX_STREAMS, ReceptionReport, RtpCounters, StreamCounter, reports


def rtp(sequence: int, ssrc: int = 1) -> bytes:
    return struct.pack("!BBHII", 0x80, 111, sequence, 0, ssrc)


def count(sequences: list[int]) -> StreamCounter:
    counter = StreamCounter()
    for sequence in sequences:
        counter.add(sequence)
    return counter


def test_a_gap_is_loss_until_it_is_filled() -> None:
    counter = count([10, 11, 13])
    assert (counter.received, counter.lost) == (3, 1)
    counter.add(12)
    assert (counter.received, counter.lost) == (4, 0)


def test_a_duplicate_hides_no_loss() -> None:
    counter = count([10, 11, 11, 13])
    assert (counter.received, counter.duplicates, counter.lost) == (3, 1, 1)


def test_numbers_wrap_around() -> None:
    counter = count([65534, 65535, 1, 2])
    assert (counter.received, counter.lost) == (4, 1)


def test_a_packet_before_the_first_one_counts() -> None:
    counter = count([5, 4, 7])
    assert (counter.received, counter.lost) == (3, 1)


def test_nothing_received_is_nothing_lost() -> None:
    assert StreamCounter().lost == 0


@given(
    start=st.integers(0, 65535),
    length=st.integers(1, 5000),
    dropped=st.sets(st.integers(1, 4998), max_size=50),
    seed=st.integers(0, 9),
)
def test_loss_is_exact_for_streams_with_jitter(
    start: int, length: int, dropped: set[int], seed: int
) -> None:
    # The ends stay, as nobody can see what is missing beyond them.
    dropped = {number for number in dropped if number < length - 1}
    jitter = random.Random(seed)
    sent = [number for number in range(length) if number not in dropped]
    arrived = sorted(sent, key=lambda number: number + jitter.randrange(20))
    counter = count([(start + number) % 65536 for number in arrived])
    assert counter.received == len(sent)
    assert counter.lost == len(dropped)


def test_streams_are_counted_apart_and_bounded() -> None:
    counters = RtpCounters()
    for ssrc in range(2 * MAX_STREAMS):
        counters.received_rtp(rtp(100, ssrc))
        counters.received_rtp(rtp(102, ssrc))
    assert counters.received == 2 * MAX_STREAMS
    assert counters.lost == MAX_STREAMS


def block(ssrc: int, fraction: int, lost: int, jitter: int) -> bytes:
    return struct.pack("!IIIIII", ssrc, fraction << 24 | lost & 0xFFFFFF, 500, jitter, 0, 0)


def receiver_report(*blocks: bytes) -> bytes:
    return struct.pack("!BBHI", 0x80 | len(blocks), 201, 1 + 6 * len(blocks), 99) + b"".join(blocks)


def sender_report(*blocks: bytes) -> bytes:
    head = struct.pack("!BBHI", 0x80 | len(blocks), 200, 6 + 6 * len(blocks), 99)
    return head + bytes(20) + b"".join(blocks)


def test_reports_of_compound_packets_are_read() -> None:
    packet = sender_report(block(1, 64, 3, 7)) + receiver_report(
        block(2, 0, -1, 0), block(3, 0, 0, 0)
    )
    assert list(reports(packet)) == [
        ReceptionReport(1, 0.25, 3, 7),
        ReceptionReport(2, 0.0, -1, 0),
        ReceptionReport(3, 0.0, 0, 0),
    ]


def test_only_reports_about_our_streams_count() -> None:
    counters = RtpCounters()
    counters.received_rtcp(receiver_report(block(1, 0, 5, 0)))
    before = counters.reported_lost
    assert before is None
    counters.sent_rtp(rtp(1, ssrc=1))
    counters.received_rtcp(receiver_report(block(1, 0, 5, 0), block(2, 0, 9, 0)))
    counters.received_rtcp(receiver_report(block(1, 0, 6, 0)))
    assert counters.sent == 1
    assert counters.reported_lost == 6, "of stream 1, its newest"


@given(packet=st.binary(max_size=200))
def test_malformed_packets_raise_nothing(packet: bytes) -> None:
    counters = RtpCounters()
    counters.received_rtcp(packet)
    counters.received_rtp(packet)


@given(cut=st.integers(0, 100))
def test_a_truncated_report_gives_only_whole_blocks(cut: int) -> None:
    packet = receiver_report(block(1, 0, 1, 0), block(2, 0, 2, 0))
    found = list(reports(packet[:cut]))
    assert len(found) == max(0, min(2, (min(cut, len(packet)) - 8) // 24))
