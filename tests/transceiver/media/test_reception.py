import random

import pytest

from transceiver.media import ntp
from transceiver.media.reception import MAX_STREAMS, Reception, Stream


def fed(sequences: list[int], start: int = 0) -> Stream:
    stream = Stream(sequences[0] & 0xFFFF, 0.0)
    for at, sequence in enumerate(sequences):
        stream.add(sequence & 0xFFFF, start + 960 * at, 48_000, 0.02 * at)
    return stream


@pytest.mark.parametrize("start", [0, 1, 65_530])
def test_each_packet_counts_once_whatever_its_order(start: int) -> None:
    order = [start + number for number in (0, 1, 3, 2, 2, 6, 6, 4, 9)]
    stream = fed(order)
    assert (stream.received, stream.duplicates, stream.lost) == (7, 2, 3)


def test_one_before_the_first_counts() -> None:
    stream = fed([10, 12, 9, 11])
    assert (stream.received, stream.lost) == (4, 0)


def test_loss_comes_out_exactly_over_several_cycles() -> None:
    chance = random.Random(13)
    sent = range(60_000, 60_000 + 150_000)
    kept = [number for number in sent if chance.random() > 0.1 or number in (sent[0], sent[-1])]
    stream = fed(kept)
    assert stream.lost == len(sent) - len(kept)
    block = stream.block(1, 0.0)
    assert block is not None
    assert block.highest == sent[-1]
    assert block.lost == stream.lost


@pytest.mark.parametrize("jump", [5_000, 30_000, -5_000, 40_000])
def test_a_stream_that_starts_anew_loses_nothing(jump: int) -> None:
    stream = fed([*range(100), *range(100 + jump, 200 + jump)])
    assert (stream.received, stream.lost) == (200, 0)


def test_a_stray_packet_changes_nothing() -> None:
    stream = fed([1, 2, 30_000, 3, 4, 6])
    assert (stream.received, stream.lost) == (5, 1)


def test_fraction_lost_is_that_since_the_report_before() -> None:
    stream = fed([0, 1, 2, 3, 5])
    first = stream.block(7, 0.1)
    assert first is not None
    assert (first.ssrc, first.lost) == (7, 1)
    assert first.fraction_lost == pytest.approx(1 / 6)
    assert stream.block(7, 0.2) is None
    for sequence in (6, 7, 9, 9):
        stream.add(sequence, 0, 48_000, 0.3)
    second = stream.block(7, 0.4)
    assert second is not None
    # RFC 3550 lets the duplicate hide the loss.
    assert (second.lost, second.fraction_lost) == (1, 0.0)
    assert stream.lost == 2


def test_jitter_is_that_of_the_rfc() -> None:
    chance = random.Random(13)
    stream = Stream(0, 0.0)
    jitter, previous = 0.0, None
    for number in range(500):
        now = 0.02 * number + chance.uniform(0, 0.03)
        stream.add(number, (2**32 - 5_000 + 960 * number) % 2**32, 48_000, now)
        transit = now * 48_000 - 960 * number
        if previous is not None:
            jitter += (abs(transit - previous) - jitter) / 16
        previous = transit
    assert stream.jitter == pytest.approx(jitter)
    assert stream.jitter_seconds == pytest.approx(jitter / 48_000)


def test_packets_of_one_moment_and_jumps_of_time_are_no_jitter() -> None:
    stream = Stream(0, 0.0)
    for number in range(50):
        stream.add(number, 77, 48_000, 0.05 * number)
    stream.add(50, 2**31, 48_000, 2.5)
    stream.add(51, 2**31 + 160, 8_000, 2.52)
    assert stream.jitter == 0


def test_reports_repeat_the_senders_time() -> None:
    reception = Reception()
    reception.add(5, 1, 0, 48_000, 0.0)
    reception.sender_report(5, ntp.timestamp(100.0), 1.0)
    reception.sender_report(6, ntp.timestamp(100.0), 1.0)
    (block,) = reception.blocks(1.5)
    assert (block.last_report, block.delay) == (100 << 16, 0x8000)
    assert reception.blocks(1.6) == ()


def test_a_client_with_ever_new_streams_is_counted_and_costs_no_memory() -> None:
    reception = Reception()
    for number in range(1_000):
        reception.add(number, 1, 0, 48_000, 0.02 * number)
        reception.add(number, 3, 0, 48_000, 0.02 * number)
        assert not reception.add(number, 3, 0, 48_000, 0.02 * number)
    assert reception.streams == MAX_STREAMS
    assert len(reception.blocks(20.0)) == MAX_STREAMS
    assert (reception.received, reception.lost, reception.duplicates) == (2_000, 1_000, 1_000)
    assert reception.jitter == 0
