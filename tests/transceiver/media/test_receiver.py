import numpy as np
import pytest

from transceiver.media.codec import Decoder
from transceiver.media.receiver import Receiver
from transceiver.media.rtp import Packet


class Plain:
    """A codec that is none: the payload is the PCM."""

    def decode(self, payload: bytes) -> bytes:
        return payload

    def conceal(self, samples: int) -> bytes:
        return np.full(samples, 50, np.int16).tobytes()

    def carries(self, payload: bytes) -> int:  # noqa: ARG002
        return 0

    def recover(self, payload: bytes, samples: int) -> None: ...

    def is_silence(self, payload: bytes) -> bool:
        return len(payload) <= 2

    def duration(self, payload: bytes) -> int:
        return len(payload) // 2


def decoder_for(payload_type: int) -> Decoder | None:
    return Plain() if payload_type == 96 else None


def receiver() -> Receiver:
    return Receiver(decoder_for, clock_rates={96: 24_000})


def tone(height: int) -> bytes:
    return np.full(480, height, np.int16).tobytes()


class Clock:
    """Sends a packet of each stream that is on, and pulls, every 20 ms."""

    def __init__(self) -> None:
        self.receiver = receiver()
        self.index = 0
        self.heights: list[float] = []

    def run(self, frames: int, **streams: int) -> list[float]:
        """Streams by name and height of their tone; what was heard."""
        heard = []
        for _ in range(frames):
            now = 0.02 * self.index
            for name, height in streams.items():
                packet = Packet(96, self.index & 0xFFFF, 480 * self.index, ord(name), tone(height))
                self.receiver.insert(packet, now)
            frame = np.frombuffer(self.receiver.pull(now + 0.007), np.int16)
            assert len(frame) == 480
            heard.append(float(frame.mean()))
            self.index += 1
        return heard


def test_nothing_is_heard_before_there_is_something() -> None:
    clock = Clock()
    assert clock.run(5) == [0] * 5
    assert clock.receiver.stats == {}


def test_a_stream_that_stops_is_concealed_for_a_while_and_fades() -> None:
    clock = Clock()
    clock.run(50, a=1_000)
    after = clock.run(30)
    first = after.index(50)
    assert first <= 2
    assert after[first : first + 9] == [50] * 9
    fading = after[first + 9 : first + 16]
    assert fading == sorted(fading, reverse=True)
    assert sum(0 < each < 49 for each in fading) >= 5
    assert max(after[first + 16 :]) == 0


def test_another_stream_is_heard_within_100_ms_and_takes_over() -> None:
    clock = Clock()
    assert clock.run(50, a=1_000)[10:] == [1_000] * 40
    after = clock.run(50, b=2_000)
    assert after[5:] == [2_000] * 45
    assert clock.receiver.stats["played"] >= 95
    for name in "cdefgh":
        assert clock.run(20, **{name: 3_000})[5:] == [3_000] * 15


def test_the_delay_that_a_path_needs_is_known_to_the_next_stream() -> None:
    box = receiver()
    for index in range(200):
        late = 0.08 if index % 4 == 0 else 0.0
        box.insert(Packet(96, index, 480 * index, 1, tone(1_000)), 0.02 * index + late)
        box.pull(0.02 * index + 0.01)
    needed = box.stats["target"]
    assert needed > 0.08
    box.insert(Packet(96, 5, 480, 2, tone(1_000)), 4.0)
    assert box.stats["target"] == needed


def test_streams_side_by_side_are_mixed() -> None:
    clock = Clock()
    clock.run(50, a=1_000)
    assert clock.run(50, a=1_000, b=2_000)[6:] == [3_000] * 44
    assert clock.run(20, a=30_000, b=20_000)[6:] == [32_767] * 14
    assert clock.run(50, b=2_000)[12:] == [2_000] * 38


def test_a_stream_that_goes_on_after_another_is_heard_again() -> None:
    clock = Clock()
    clock.run(50, a=1_000)
    clock.run(50, b=2_000)
    assert clock.run(50, a=1_000)[8:] == [1_000] * 42


def test_no_stream_begins_with_packets_without_sound() -> None:
    box = receiver()
    box.insert(Packet(101, 1, 0, 7, b"\1\2\3\4"), 0.0)
    box.insert(Packet(96, 1, 0, 7, b""), 0.0)
    assert box.stats == {}


def test_many_streams_cost_no_more_than_a_few() -> None:
    box = receiver()
    for ssrc in range(1_000):
        box.insert(Packet(96, ssrc, 0, ssrc, tone(100)), 0.001 * ssrc)
    assert box.pull(1.0)
    assert len(box._streams) <= 4
    assert box.stats["late"] == 0


def test_what_is_missing_is_told_by_stream() -> None:
    box = receiver()
    for index in range(60):
        late = 0.2 if index % 3 == 0 else 0.0
        box.insert(Packet(96, index, 480 * index, 9, tone(100)), 0.02 * index + late)
        box.pull(0.02 * index + 0.007)
    box.insert(Packet(96, 62, 480 * 62, 9, tone(100)), 1.24)
    assert box.missing(0.05, 1.25) == {}
    box.pull(1.247)
    assert box.missing(0.05, 1.27) == {9: (61, 60)}


@pytest.mark.parametrize("silence", [0.5, 30.0, 3_600.0])
def test_after_any_silence_a_stream_is_heard_at_once(silence: float) -> None:
    box = receiver()
    for index in range(100):
        box.insert(Packet(96, index, 480 * index, 1, tone(1_000)), 0.02 * index)
        box.pull(0.02 * index + 0.007)
    for running in (0, round(silence * 24_000)):  # the clock stood still, or did not
        heard = []
        for index in range(20):
            now = 2.0 + silence * (1 + bool(running)) + 0.02 * index
            number = 100 + index + (20 if running else 0)
            stamp = 480 * number + running * 2 & 0xFFFF_FFFF
            box.insert(Packet(96, number, stamp, 1, tone(2_000)), now)
            heard.append(float(np.frombuffer(box.pull(now + 0.007), np.int16).mean()))
        assert heard[5:] == [2_000] * 15
