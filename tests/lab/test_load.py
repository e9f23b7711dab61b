"""What became of numbered packets is counted exactly."""

import pytest

from tests.lab.load import SIZE, Tally, number_in, packet, tally


@pytest.mark.parametrize(
    ("arrived", "expected"),
    [
        ([0, 1, 2, 3], Tally(4)),
        ([0, 3], Tally(4, lost=2, gap=2)),
        ([1, 3], Tally(4, lost=2, gap=1)),
        ([], Tally(4, lost=4, gap=4)),
        ([0, 1, 1, 2, 3], Tally(4, duplicated=1)),
        ([0, 2, 1, 3], Tally(4, reordered=1)),
        ([3, 0, 1, 2], Tally(4, reordered=3)),
        ([0, 1, 2, 3, 1], Tally(4, duplicated=1, reordered=1)),
    ],
)
def test_the_tally(arrived: list[int], expected: Tally) -> None:
    assert tally(4, arrived) == expected


def test_a_packet_is_known_by_its_number_and_every_byte() -> None:
    for number, size in ((0, SIZE), (250, 11), (70_000, 1450), (3, 60_000)):
        data = packet(number, size)
        assert len(data) == size
        assert number_in(data) == number
        for place in (0, 1, 5, size - 1):
            harmed = bytearray(data)
            harmed[place] ^= 1
            assert number_in(bytes(harmed)) is None
    assert number_in(packet(7, SIZE)[:-1]) == 7  # a shorter packet is one, too: sizes are compared
    assert number_in(b"\x80") is None


def test_neighbouring_packets_differ_in_every_place() -> None:
    one, other = packet(1, SIZE), packet(2, SIZE)
    assert all(a != b for a, b in zip(one[10:], other[10:], strict=True))
