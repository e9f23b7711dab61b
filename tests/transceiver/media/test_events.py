import random
import struct

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from transceiver.media.events import KEYS, KeyPress, KeyReceiver, KeySender
from transceiver.media.rtp import Packet

RATE = 8_000


def event(
    timestamp: int, duration: int, *, key: str = "5", end: bool = False, ssrc: int = 1
) -> Packet:
    payload = struct.pack("!BBH", KEYS.index(key), 0x8A if end else 0x0A, duration)
    return Packet(101, 0, timestamp & 0xFFFF_FFFF, ssrc, payload)


def heard(packets: list[Packet], step: float = 0.05) -> list[KeyPress]:
    receiver, now = KeyReceiver(), 0.0
    found = []
    for packet in packets:
        found += [receiver.receive(packet, RATE, now), receiver.expire(now)]
        now += step
    for _ in range(20):
        now += 0.02
        found.append(receiver.expire(now))
    return [press for press in found if press is not None]


def press(timestamp: int, key: str = "5") -> list[Packet]:
    """160 ms, in packets of 50 ms, the last one three times."""
    return [
        *(event(timestamp, ticks, key=key) for ticks in (400, 800, 1200)),
        *(event(timestamp, 1280, key=key, end=True) for _ in range(3)),
    ]


def test_a_press_is_one_event_with_its_duration() -> None:
    assert heard(press(1000)) == [KeyPress("5", 0.16)]


@pytest.mark.parametrize("key", KEYS)
def test_every_key(key: str) -> None:
    assert heard(press(1000, key)) == [KeyPress(key, 0.16)]


@pytest.mark.parametrize("kept", [[0], [2], [0, 4], [3], [5], [5, 0, 1], [3, 3, 4, 2], [2, 1, 0]])
def test_whichever_packets_come_it_is_one_event(kept: list[int]) -> None:
    packets = press(2**32 - 100)
    (found,) = heard([packets[index] for index in kept])
    assert found.key == "5"
    assert found.duration in {0.05, 0.15, 0.16}


def test_the_same_key_twice_is_two_events_even_when_ends_are_lost() -> None:
    both = press(1000)[:3] + press(5000)[:3]
    assert heard(both) == [KeyPress("5", 0.15)] * 2
    assert heard(press(1000)[:3] + press(5000)[5:]) == [KeyPress("5", 0.15), KeyPress("5", 0.16)]


def test_a_late_packet_of_an_earlier_key_is_no_new_press() -> None:
    first, second = press(1000, "1"), press(5000, "2")
    order = [*first[:4], *second[:2], first[5], *second[2:], first[2]]
    assert [each.key for each in heard(order)] == ["1", "2"]


def test_a_long_press_goes_on_over_segments() -> None:
    packets = [event(0, ticks) for ticks in range(400, 0xFFFF, 400)]
    packets += [event(0, 0xFFFF)]
    packets += [event(0xFFFF, ticks) for ticks in range(400, 4_001, 400)]
    packets += [event(0xFFFF, 4_000, end=True)] * 3
    assert heard(packets) == [KeyPress("5", (0xFFFF + 4_000) / RATE)]


def test_another_stream_presses_for_itself() -> None:
    assert len(heard([event(1000, 400, end=True), event(1000, 400, end=True, ssrc=2)])) == 2


def test_a_new_time_line_of_the_same_stream_is_heard() -> None:
    assert len(heard(press(1_000_000) + press(1_000))) == 2


def test_a_flash_is_a_key_and_other_events_are_counted() -> None:
    receiver = KeyReceiver()
    flash = Packet(101, 0, 0, 1, b"\x10\x80\x01\x90")
    assert receiver.receive(flash, RATE, 0.0) == KeyPress("flash", 0.05)
    for payload in (b"", b"\x01\x80\x01", b"\x20\x80\x01\x90"):
        assert receiver.receive(Packet(101, 0, 9000, 1, payload), RATE, 0.0) is None
    assert receiver.unknown == 3


def sent(sender: KeySender, ticks: int = 160) -> list[Packet]:
    packets, now = [], 10_000
    for _ in range(200):
        made = sender.next(ticks)
        if made is not None:
            payload, first, begun = made
            packets.append(Packet(101, 0, now - begun, 1, payload, marker=first))
        now += ticks
    return packets


def test_what_is_sent_is_heard() -> None:
    sender = KeySender(RATE)
    for key in "19#":
        sender.press(key, 0.1)
    assert sender.busy
    packets = sent(sender)
    assert not sender.busy
    assert heard(packets, 0.02) == [KeyPress(key, 0.1) for key in "19#"]
    assert [packet.marker for packet in packets].count(True) == 3
    assert len({packet.timestamp for packet in packets}) == 3
    assert sum(packet.payload[1] >> 7 for packet in packets) == 9


def test_between_two_keys_is_a_pause() -> None:
    sender = KeySender(RATE)
    for _ in range(2):
        sender.press("1", 0.04)
    made = [sender.next(160) is not None for _ in range(12)]
    assert made == [True] * 4 + [False] * 2 + [True] * 4 + [False] * 2


def test_the_shortest_and_the_longest_key_are_one_segment() -> None:
    sender = KeySender(RATE)
    sender.press("1", 0.0)
    sender.press("2", 60.0)
    assert heard(sent(sender, 1_600), 0.2) == [
        KeyPress("1", 1 / RATE),
        KeyPress("2", 0xFFFF / RATE),
    ]


@seed(13)
@given(st.lists(st.binary(max_size=6), max_size=20), st.integers(0, 2**32 - 1))
def test_any_payload_is_taken(payloads: list[bytes], start: int) -> None:
    receiver = KeyReceiver()
    chance = random.Random(start)
    for payload in payloads:
        timestamp = start + chance.choice([0, 0, 160, 0xFFFF, 2**31]) & 0xFFFF_FFFF
        receiver.receive(Packet(101, 0, timestamp, chance.randrange(2), payload), RATE, 0.0)
        receiver.expire(chance.random())
