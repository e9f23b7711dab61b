import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.caller.rtp import RtpCounter, SequenceCounter

RTP = 0x80


def packet(sequence: int, *, ssrc: int = 1, first: int = RTP, second: int = 111) -> bytes:
    return bytes([first, second]) + sequence.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big")


def count(*sequences: int) -> SequenceCounter:
    counted = SequenceCounter()
    for sequence in sequences:
        counted.add(sequence)
    return counted


def facts(counted: SequenceCounter) -> tuple[int, int, int, int]:
    return counted.received, counted.lost, counted.duplicates, counted.reordered


@pytest.mark.parametrize(
    ("sequences", "expected"),
    [
        ((), (0, 0, 0, 0)),
        ((7,), (1, 0, 0, 0)),
        ((0, 1, 2), (3, 0, 0, 0)),
        ((0, 1, 3), (3, 1, 0, 0)),
        ((0, 1, 3, 2), (4, 0, 0, 1)),
        ((0, 1, 1, 2), (3, 0, 1, 0)),
        ((0, 2, 1, 1), (3, 0, 1, 1)),
        ((5, 3, 6), (3, 1, 0, 1)),  # the first that arrived was not the first that was sent
        ((65534, 65535, 0, 1), (4, 0, 0, 0)),
        ((65534, 1, 0), (3, 1, 0, 1)),
        ((1, 65535, 0), (3, 0, 0, 2)),
    ],
)
def test_what_arrived_and_what_did_not(
    sequences: tuple[int, ...], expected: tuple[int, int, int, int]
) -> None:
    assert facts(count(*sequences)) == expected


@given(
    start=st.integers(0, 0xFFFF),
    steps=st.lists(st.integers(-40, 60), max_size=300),
)
def test_the_counts_agree_with_a_count_of_everything(start: int, steps: list[int]) -> None:
    arrivals = [start]
    for step in steps:
        arrivals.append(arrivals[-1] + step)
    counted = count(*(arrival % 0x10000 for arrival in arrivals))
    different = set(arrivals)
    assert counted.received == len(different)
    assert counted.duplicates == len(arrivals) - len(different)
    assert counted.lost == max(arrivals) - min(arrivals) + 1 - len(different)
    assert counted.highest == max(arrivals) % 0x10000


def test_many_cycles_lose_nothing() -> None:
    assert facts(count(*(number % 0x10000 for number in range(200_000)))) == (200_000, 0, 0, 0)


def test_the_longest_loss_is_a_run_and_not_a_sum() -> None:
    assert count(0, 2, 6, 8).longest_loss == 3
    assert count(0, 1).longest_loss == 0


def test_rtcp_and_other_protocols_are_left_out() -> None:
    counted = RtpCounter()
    for second in (64 | 0x80, 200, 201, 207, 95):
        counted.add(packet(1, second=second), 0.0)
    counted.add(packet(1, first=0x16), 0.0)  # DTLS
    counted.add(packet(1, first=0x00), 0.0)  # STUN
    counted.add(packet(1)[:11], 0.0)
    counted.add(b"", 0.0)
    assert counted.packets == 0
    assert counted.first is None
    counted.add(packet(1, second=0x80 | 111), 1.0)  # with the marker bit
    assert counted.packets == 1


def test_streams_are_counted_apart_and_summed() -> None:
    counted = RtpCounter()
    for sequence, ssrc in ((10, 1), (500, 2), (11, 1), (503, 2), (503, 2), (13, 1), (12, 1)):
        counted.add(packet(sequence, ssrc=ssrc), 0.0)
    assert (counted.packets, counted.lost) == (6, 2)
    assert (counted.duplicates, counted.reordered, counted.longest_loss) == (1, 1, 2)


def test_the_longest_pause_and_the_first_packet_are_timed() -> None:
    counted = RtpCounter()
    for sequence, now in enumerate((5.0, 5.02, 5.5, 5.52)):
        counted.add(packet(sequence), now)
    assert counted.first == 5.0
    assert counted.longest_pause == pytest.approx(0.48)
