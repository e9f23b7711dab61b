"""Packets that are found again at the other end, also under other names."""

import pytest

from tests.bench.alternatives.callpaths.passage import Packet, Way

SIZES = (221, 346, 416, 407, 490, 528, 526, 527, 502, 450)
FRAME = 960  # timestamps between two packets of 20 ms


def stream(begin: float, ssrc: int, timestamp: int) -> list[Packet]:
    return [
        Packet(begin + 0.02 * number, ssrc, (timestamp + FRAME * number) % (1 << 32), size)
        for number, size in enumerate(SIZES)
    ]


def test_a_relay_leaves_names_alone() -> None:
    sent, received = stream(1.0, 7, 100), stream(1.0001, 7, 100)
    assert Way(sent[1:], received[:-1]).delays() == pytest.approx([0.0001] * 8)


def test_packets_that_were_lost_do_not_count() -> None:
    sent, received = stream(1.0, 7, 100), stream(1.0001, 7, 100)
    del received[4]
    assert Way(sent, received).delays() == pytest.approx([0.0001] * 9)


def test_a_stream_is_found_that_was_numbered_anew() -> None:
    sent, received = stream(1.0, 7, (1 << 32) - 3 * FRAME), stream(1.0002, 9, 50_000)
    assert Way(sent, received).delays() == pytest.approx([0.0002] * 10)


def test_calls_that_say_the_same_are_told_apart() -> None:
    sent = sorted(stream(1.0, 7, 100) + stream(1.004, 8, 900))
    received = sorted(stream(1.0002, 9, 50_000) + stream(1.0043, 10, 70_000))
    assert sorted(Way(sent, received).delays()) == pytest.approx([0.0002] * 10 + [0.0003] * 10)


def test_what_comes_from_elsewhere_is_nothing_that_was_sent() -> None:
    others = [each._replace(size=each.size + 1) for each in stream(1.0002, 9, 50_000)]
    assert Way(stream(1.0, 7, 100), others).delays() == []
