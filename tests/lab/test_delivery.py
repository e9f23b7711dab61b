"""Lost, duplicated, reordered and damaged packets are counted exactly."""

import pytest

from relay.wire.endpoint import Endpoint
from tests.lab.delivery import (
    Delivery,
    count_delivery,
    numbered_packet,
    packet_number,
    rtp_delivery,
)
from tests.lab.frame import Datagram
from tests.lab.load import SIZE


@pytest.mark.parametrize(
    ("arrived", "expected"),
    [
        ([0, 1, 2, 3], Delivery(4)),
        ([0, 3], Delivery(4, lost=2, gap=2)),
        ([1, 3], Delivery(4, lost=2, gap=1)),
        ([], Delivery(4, lost=4, gap=4)),
        ([0, 1, 1, 2, 3], Delivery(4, duplicated=1)),
        ([0, 2, 1, 3], Delivery(4, reordered=1)),
        ([3, 0, 1, 2], Delivery(4, reordered=3)),
        ([0, 1, 2, 3, 1], Delivery(4, duplicated=1, reordered=1)),
        ([0, 1, 2, 3, 4], Delivery(4, damaged=1)),
    ],
)
def test_delivery_of_numbered_packets(arrived: list[int], expected: Delivery) -> None:
    assert count_delivery(range(4), arrived) == expected


def test_unreadable_arrivals_are_damaged() -> None:
    assert count_delivery(range(2), [0, 1, 7], damaged=2) == Delivery(2, damaged=3)


def test_delivery_of_rtp_is_told_by_ssrc_and_sequence_number() -> None:
    sent = [rtp(1, number) for number in (65534, 65535, 0, 1, 2, 3)] + [rtp(2, 0)]
    arrived = [sent[0], sent[6], sent[3], sent[5], sent[5]]
    assert rtp_delivery(sent, arrived) == Delivery(7, lost=3, duplicated=1, reordered=3, gap=2)
    assert rtp_delivery([*sent, not_rtp()], [not_rtp()]) == Delivery(7, lost=7, gap=7)
    assert rtp_delivery([], []) == Delivery(0)


def test_damage_to_any_byte_of_a_numbered_packet_is_detected() -> None:
    for number, size in ((0, SIZE), (250, 11), (70_000, 1450), (3, 60_000)):
        data = numbered_packet(number, size)
        assert len(data) == size
        assert packet_number(data) == number
        for place in (0, 1, 5, size - 1):
            damaged = bytearray(data)
            damaged[place] ^= 1
            assert packet_number(bytes(damaged)) is None
    assert packet_number(numbered_packet(7, SIZE)[:-1]) == 7  # callers compare the size
    assert packet_number(b"\x80") is None


def test_consecutive_packets_differ_in_every_byte_of_the_payload() -> None:
    one, other = numbered_packet(1, SIZE), numbered_packet(2, SIZE)
    assert all(a != b for a, b in zip(one[10:], other[10:], strict=True))


def rtp(ssrc: int, sequence: int) -> Datagram:
    header = bytes([0x80, 111]) + sequence.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big")
    return datagram(header + b"media")


def not_rtp() -> Datagram:
    return datagram(bytes(20))


def datagram(payload: bytes) -> Datagram:
    return Datagram(
        Endpoint("203.0.113.2", 40000), Endpoint("203.0.113.10", 3478), payload, intact=True
    )
