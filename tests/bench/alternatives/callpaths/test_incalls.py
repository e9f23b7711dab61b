"""Audio in calls: frames of both hosts, and the time of a process."""

import os
import struct
import time

import pytest

from tests.bench.alternatives.callpaths.incalls import InCalls, Watch, processor_seconds
from tests.bench.compare.calls.calltestbed import CALL_PATHS, DIRECT
from tests.lab.errors import LabError

XDP = CALL_PATHS[1]


def audio(number: int, channel: bytes = b"") -> bytes:
    ip = bytes([0x45]) + bytes(8) + b"\x11" + bytes(10)
    rtp = struct.pack("!BBHII", 0x80, 111, number, 960 * number, 5) + bytes(80)
    payload = channel + rtp
    udp = struct.pack("!HHHH", 40_000, 3478, 8 + len(payload), 0)
    return bytes(12) + b"\x08\x00" + ip + udp + payload


def test_both_ways_are_added() -> None:
    watch = Watch()
    for number in range(100):
        sent = 0.02 * number
        watch.at_client(audio(number, b"\x40\x00\x00\x5c"), sent, outgoing=True)
        watch.at_transceiver(audio(number), sent + 0.001, outgoing=False)
        watch.at_transceiver(audio(number), sent + 0.010, outgoing=True)
        watch.at_client(audio(number), sent + 0.013 + 0.004 * (number > 97), outgoing=False)
    figures = watch.figures()
    assert figures["packets"] == 200
    assert figures["both_ways_us"] == pytest.approx(4000)
    assert 4000 < figures["both_ways_p99_us"] <= 8001


def test_delays_of_nothing_are_an_error() -> None:
    watch = Watch()
    watch.at_client(audio(1), 1.0, outgoing=True)
    with pytest.raises(LabError, match="Hardly any audio"):
        watch.figures()


def test_a_process_that_works_has_used_time() -> None:
    before, begun = processor_seconds(os.getpid()), time.process_time()
    while time.process_time() < begun + 0.05:
        pass
    assert processor_seconds(os.getpid()) - before > 0.04


@pytest.mark.e2e
@pytest.mark.bpf
def test_a_relay_makes_the_way_longer() -> None:
    direct, relayed = (
        {each.metric: each.value for each in InCalls(path, calls=1, seconds=1.0).measure()}
        for path in (DIRECT, XDP)
    )
    assert 0 < direct["both_ways_us"] < relayed["both_ways_us"]
    assert "us_per_packet" not in direct
    assert relayed["us_per_packet"] >= 0
