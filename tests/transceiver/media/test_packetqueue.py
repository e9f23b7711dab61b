from itertools import pairwise

import pytest

from transceiver.media.delay import RATE, Delay
from transceiver.media.packetqueue import PacketQueue, Waiting
from transceiver.media.red import Block
from transceiver.media.rtp import Packet

OPUS = 48_000


class Line:
    """A queue, and packets that are made for it."""

    def __init__(self, sequence: int = 65_530, timestamp: int = 0xFFFF_F000) -> None:
        self.delay = Delay()
        self.queue = PacketQueue(self.delay)
        self.sequence, self.timestamp = sequence, timestamp

    def send(self, index: int, *, at: float | None = None, rate: int = OPUS, **other: int) -> None:
        """The packet of this place; on its time, unless another is given."""
        packet = Packet(
            111,
            self.sequence + index + other.get("jump", 0) & 0xFFFF,
            self.timestamp + index * rate // 50 + other.get("leap", 0) & 0xFFFF_FFFF,
            1,
            b"sound",
        )
        self.queue.insert(packet, rate, 0.02 * index if at is None else at)

    def send_with(self, index: int, *backs: int) -> None:
        """The packet of this place, which has the frames along that were sent so much earlier."""
        self.send(index)
        packet = Packet(111, self.sequence + index & 0xFFFF, 0, 1)
        for place, back in enumerate(sorted(backs), start=1):
            self.queue.fill(packet, place, Block(111, 960 * back, b"again"), OPUS)

    def play(self) -> Waiting | None:
        found = self.queue.following()
        if found is not None:
            self.queue.take(found)
        return found

    def play_all(self) -> list[Waiting]:
        return list(iter(self.play, None))


def starts(packets: list[Waiting]) -> list[int]:
    return [each.start for each in packets if each.start is not None]


def test_packets_come_out_in_their_order_over_the_wrap_of_numbers_and_time() -> None:
    line = Line()
    for index in (0, 2, 1, 3, 7, 5, 6, 4, 8, 9):
        line.send(index)
    found = line.play_all()
    assert len(found) == 10
    assert [b - a for a, b in pairwise(starts(found))] == [480] * 9


def test_duplicates_and_late_packets_are_left_out() -> None:
    line = Line()
    line.send(0)
    line.send(0)
    line.send(2)
    assert len(line.play_all()) == 2
    line.send(1)
    line.send(2)
    assert line.play() is None
    assert line.queue.late == 2


@pytest.mark.parametrize("jump", [101, 5_000, 32_767, 32_768, 40_000, 65_000, 65_430])
@pytest.mark.parametrize("leap", [0, 48_000 * 3_600, 1 << 31, -4_800, -48_000 * 120])
def test_a_stream_that_jumps_anywhere_goes_on_with_its_second_packet(jump: int, leap: int) -> None:
    line = Line()
    for index in range(50):
        line.send(index)
        line.play()
    line.send(50, jump=jump, leap=leap)
    assert line.play() is None
    line.send(51, jump=jump, leap=leap)
    found = line.play_all()
    assert len(found) == 2
    assert line.queue.restarts == 1
    # As if it had come without delay: the target decides when it is played.
    assert abs(starts(found)[0] - 50 * 480) < 480
    line.send(52, jump=jump, leap=leap)
    assert len(line.play_all()) == 1


@pytest.mark.parametrize("held", [10, 50, 101, 200])
@pytest.mark.parametrize("behind", [101, 125, 500, 800])
@pytest.mark.parametrize("spread", [0.0, 0.01, 0.02])
def test_what_comes_seconds_late_by_a_path_that_was_left_is_late(
    held: int, behind: int, spread: float
) -> None:
    """A client goes to another network; what waited in the old one comes in the middle."""
    line = Line()
    arrivals = [(0.02 * index, index) for index in range(2_000)]
    arrivals[500 : 500 + held] = [
        (0.02 * (500 + held + behind) + spread * index + 0.001, index + 500)
        for index in range(held)
    ]
    found = []
    for at, index in sorted(arrivals):
        line.send(index, at=at)
        found += line.play_all()
    assert line.queue.late == held
    assert len(found) == 2_000 - held
    assert line.queue.restarts == (held > 100), "that of the new path"
    assert all(after > before for before, after in pairwise(starts(found)))
    assert line.delay.target < 0.05 * RATE


def test_what_is_late_by_another_codec_is_late() -> None:
    line = Line()
    for index in range(400):
        if not 50 <= index < 60:
            line.send(index, rate=OPUS if index < 200 else 8_000)
    for index in range(50, 60):
        line.send(index, at=8.0)
    assert (line.queue.late, line.queue.restarts) == (10, 0)


def test_while_a_stream_goes_on_nothing_behind_it_is_a_new_begin() -> None:
    line = Line()
    for index in range(100):
        line.send(index)
        line.send(index, jump=40_000, leap=1 << 31)
        assert len(line.play_all()) == 1
    assert line.queue.restarts == 0
    for index in range(100, 102):
        line.send(index, jump=40_000, leap=1 << 31)
    assert len(line.play_all()) == 3, "with the one before, which was the first"


def test_numbers_of_a_stream_that_begins_anew_are_no_losses() -> None:
    line = Line()
    lost = []
    for index in range(300):
        if index % 10:
            line.send(index, jump=20_000 * (index // 100))
        while (packet := line.queue.following()) is not None:
            lost.append(line.queue.lost_before(packet))
            line.queue.take(packet)
    assert line.queue.restarts == 2
    assert set(lost) == {0, 1}
    assert sum(lost) == 30 - 3, "what was missing at a begin nobody knows"


@pytest.mark.parametrize("leap", [48_000 * 2, 48_000 * 3_600, 1 << 31, (1 << 32) - 48_000 * 60])
def test_time_that_jumps_without_the_numbers_hangs_where_it_comes(leap: int) -> None:
    line = Line()
    found = []
    for index in range(60):
        line.send(index, leap=leap if index >= 50 else 0)
        found += line.play_all()
    assert len(found) == 60
    assert starts(found)[50] - starts(found)[49] == pytest.approx(480, abs=2)
    assert line.delay.target < 0.05 * RATE


def test_one_stray_packet_changes_nothing() -> None:
    line = Line()
    for index in range(100):
        line.send(index)
        if index % 10 == 5:
            line.send(index, jump=1_000 + 300 * index)
        assert len(line.play_all()) == 1
    assert line.queue.restarts == 0


def test_a_pause_keeps_its_length() -> None:
    line = Line()
    line.send(0)
    line.send(1, at=0.42, leap=400 * 48)
    found = starts(line.play_all())
    assert found[1] - found[0] == 480 + 400 * 24


def test_packets_without_sound_have_no_place_in_time() -> None:
    line = Line()
    line.send(0)
    line.queue.insert(Packet(111, line.sequence + 1, 5, 1, b""), OPUS, 0.02)
    line.queue.insert(Packet(101, line.sequence + 2, 77_777, 1, b"\1\2\3\4"), 0, 0.04)
    line.send(3)
    assert [each.start is None for each in line.play_all()] == [False, True, True, False]
    assert line.delay.base == 0


def test_another_clock_goes_on_from_where_the_time_is() -> None:
    line = Line()
    for index in range(20):
        line.send(index)
    for index in range(20, 40):
        line.send(index, rate=8_000)
    found = starts(line.play_all())
    assert all(b - a == 480 for a, b in pairwise(found))


def test_too_much_audio_is_not_kept() -> None:
    line = Line()
    for index in range(500):
        line.send(index, at=10.0)
    assert len(line.queue.waiting) <= 52
    assert line.queue.skipped >= 448
    assert line.play_all()[-1].number == line.sequence + 499


def test_packets_without_sound_are_not_kept_without_end() -> None:
    line = Line()
    for index in range(1_000):
        line.queue.insert(Packet(101, line.sequence + index & 0xFFFF, 0, 1, b"1234"), 0, 0.0)
    assert len(line.queue.waiting) <= 201


def test_packets_that_were_asked_for_say_nothing_about_delay() -> None:
    for asked in (False, True):
        line = Line()
        for index in range(100):
            if index % 3:
                line.send(index)
            if index % 3 == 1 and asked:
                line.queue.asked.add(line.sequence + index - 1 & 0xFFFF)
            if index % 3 == 2:
                line.send(index - 2, at=0.02 * index + 0.01)
        assert (line.delay.target < 0.02 * RATE) is asked


def test_gaps_are_told_with_their_places() -> None:
    line = Line()
    for index in (0, 1, 3, 6):
        line.send(index)
    assert line.queue.gaps(16) == [
        (line.sequence + 5, 5 * 480),
        (line.sequence + 4, 4 * 480),
        (line.sequence + 2, 2 * 480),
    ]
    assert line.queue.gaps(1) == [(line.sequence + 2, 2 * 480)]
    line.play_all()
    assert line.queue.gaps(16) == []


@pytest.mark.parametrize("frames", [0.5, 1, 3, 6])
@pytest.mark.parametrize("played", [0, 1, 2])
def test_the_places_of_gaps_are_those_of_packets_of_any_length(frames: float, played: int) -> None:
    """Of 10 to 120 ms, whether what was before them waits or was played."""
    line = Line()
    for index in (0, 1, 3, 6):
        leap = round((frames - 1) * 960 * index)
        line.send(index, leap=leap, at=0.02 * frames * index)
    for _ in range(played):
        line.play()
    assert line.queue.gaps(16) == [
        (line.sequence + index, round(index * frames * 480)) for index in (5, 4, 2)
    ]


def test_gaps_after_a_silence_are_close_before_what_follows() -> None:
    line = Line()
    line.send(0)
    line.send(2, leap=48_000, at=1.04)
    assert line.queue.gaps(16) == [(line.sequence + 1, 24_000 + 480)]


# --- frames that later packets have along ---


def test_a_frame_that_is_missing_is_taken_from_the_packet_after_it() -> None:
    line = Line()
    for index in (0, 1, 3, 6):
        line.send_with(index, 1, 2)
    found = line.play_all()
    assert [each.redundant for each in found] == [False, False, True, False, True, True, False]
    assert [b - a for a, b in pairwise(starts(found))] == [480] * 6


def test_a_packet_that_comes_after_all_takes_its_place() -> None:
    line = Line()
    line.send(0)
    line.send_with(2, 1)
    line.send(1)
    assert [(each.redundant, each.payload) for each in line.play_all()] == [(False, b"sound")] * 3
    assert line.queue.late == 0


def test_what_was_played_or_is_there_is_not_taken_again() -> None:
    line = Line()
    line.send(0)
    assert len(line.play_all()) == 1
    line.send_with(1, 1)
    line.send_with(2, 1)
    assert [each.payload for each in line.play_all()] == [b"sound"] * 2


def test_frames_from_farther_back_than_they_seem_are_not_said_again() -> None:
    """Nobody carries the frame before last alone; who does is not misheard."""
    line = Line()
    line.send(0)
    assert len(line.play_all()) == 1
    line.send_with(2, 2)
    assert [each.redundant for each in line.play_all()] == [False]


def test_a_packet_that_was_not_taken_brings_nothing() -> None:
    line = Line()
    line.send(0)
    line.send_with(5_000, 1)
    assert len(line.play_all()) == 1
