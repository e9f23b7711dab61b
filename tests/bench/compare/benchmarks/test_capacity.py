"""Calls held at once, and how one hears that there are too many."""

import os
import struct
import time

import pytest

from tests.bench.compare.benchmarks.capacity import Capacity, groups, lost, suffers
from tests.bench.compare.calls.listening import Ear, Heard
from tests.bench.compare.calls.stage import Way
from tests.bench.compare.calls.usage import cpu_seconds, shares

CLIENT, VIP = 40_000, 3478  # ports


def frame(source: int, destination: int, payload: bytes, protocol: int = 17) -> bytes:
    ip = bytes([0x45]) + bytes(8) + bytes([protocol]) + bytes(10)
    udp = struct.pack("!HHHH", source, destination, 8 + len(payload), 0)
    return bytes(12) + b"\x08\x00" + ip + udp + payload


AUDIO = b"\x80\x6f" + bytes(10)


def test_packets_and_pauses_are_counted_by_call() -> None:
    ear = Ear(begun=10.0)
    ear.take(frame(CLIENT, VIP, AUDIO), 10.00, outgoing=True)
    ear.take(frame(VIP, CLIENT, AUDIO), 10.02, outgoing=False)
    ear.take(frame(VIP, CLIENT, AUDIO), 10.09, outgoing=False)
    ear.take(frame(VIP, CLIENT + 1, AUDIO), 10.05, outgoing=False)
    ear.stop(10.10)
    first, second = ear.calls[CLIENT], ear.calls[CLIENT + 1]
    assert (first.sent, first.returned) == (1, 2)
    assert first.pause == pytest.approx(0.07)
    assert (second.sent, second.returned) == (0, 1)
    assert second.pause == pytest.approx(0.05)


def test_audio_in_a_channel_of_turn_is_counted() -> None:
    ear = Ear(begun=10.0)
    ear.take(frame(VIP, CLIENT, b"\x40\x00\x00\x0c" + AUDIO), 10.0, outgoing=False)
    assert ear.calls[CLIENT].returned == 1


@pytest.mark.parametrize(
    "other",
    [
        frame(VIP, CLIENT, b"\x80\xc8" + bytes(10)),  # RTCP
        frame(VIP, CLIENT, b"\x16\xfe" + bytes(10)),  # DTLS
        frame(VIP, CLIENT, AUDIO, protocol=6),
        bytes(60),
        b"",
    ],
)
def test_what_is_no_audio_is_not_counted(other: bytes) -> None:
    ear = Ear(begun=10.0)
    ear.take(other, 10.0, outgoing=False)
    assert ear.calls == {}


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (Heard(last=0, sent=200, returned=200), 0),
        (Heard(last=0, sent=201, returned=200), 0),  # under way
        (Heard(last=0, sent=200, returned=149), 0.25),
        (Heard(last=0), 1),
    ],
)
def test_the_lost_part(call: Heard, part: float) -> None:
    assert lost(call) == part


GOOD = Heard(last=0, sent=200, returned=200, pause=0.04)


@pytest.mark.parametrize(
    ("heard", "bad"),
    [
        ([GOOD, GOOD], False),
        ([GOOD], True),
        ([GOOD, Heard(last=0, sent=200, returned=190, pause=0.04)], True),
        ([GOOD, Heard(last=0, sent=200, returned=200, pause=0.07)], True),
    ],
    ids=["good", "one is not heard", "lost", "pause"],
)
def test_audio_suffers_in_one_of_two_calls(heard: list[Heard], bad: bool) -> None:
    assert suffers(heard, calls=2) is bad


def test_processes_hold_a_few_calls_each() -> None:
    assert groups(0) == []
    assert groups(3) == [3]
    assert groups(20) == [8, 8, 4]


def test_processor_time_is_that_of_the_process() -> None:
    begun = time.process_time()
    while time.process_time() < begun + 0.05:
        pass
    assert cpu_seconds(os.getpid()) == pytest.approx(time.process_time(), abs=0.5)
    assert shares({"a": 1.0}, {"a": 1.5}, seconds=2) == {"a": 25}


@pytest.mark.e2e
@pytest.mark.parametrize("way", [Way.DIRECT, Way.USERSPACE, Way.TURN])
def test_calls_are_held_and_heard(way: Way) -> None:
    question = Capacity(way, steps=(1, 2), seconds=1.0)
    if reason := question.missing():
        pytest.skip(reason)
    measured = {(each.metric, each.parameters.get("calls")): each.value for each in question.ask()}
    assert measured["calls_heard", 1] == 1
    assert measured["calls_heard", 2] == 2
    assert measured["cpu_transceiver_percent", 2] > 0
    assert measured["calls", None] in {0, 1, 2}  # the machine may be busy
