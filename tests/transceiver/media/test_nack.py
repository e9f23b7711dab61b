from transceiver.media.delay import RATE, Delay
from transceiver.media.nack import Nack
from transceiver.media.packetqueue import PacketQueue
from transceiver.media.rtp import Packet

MS = RATE // 1_000


def queue_with(*indexes: int) -> PacketQueue:
    queue = PacketQueue(Delay())
    for index in indexes:
        queue.insert(
            Packet(111, 65_534 + index & 0xFFFF, 960 * index, 1, b"x"), 48_000, 0.02 * index
        )
    return queue


def test_what_can_still_come_is_asked_for_once_in_a_round_trip_and_twice_at_most() -> None:
    queue, nack = queue_with(0, 1, 4), Nack()
    wanted = [
        (moment, nack.missing(queue, -100 * MS, 0.05, moment / 1_000))
        for moment in range(80, 400, 20)
    ]
    assert [(moment, numbers) for moment, numbers in wanted if numbers] == [
        (100, (1, 0)),
        (160, (1, 0)),
    ]


def test_what_would_come_too_late_is_not_asked_for() -> None:
    queue, nack = queue_with(0, 1, 4), Nack()
    position = 20 * MS  # number 0 (place 40 ms) is played in 20 ms, number 1 in 40 ms
    assert nack.missing(queue, position, 0.03, 0.08) == ()
    assert nack.missing(queue, position, 0.03, 0.1) == (1,)


def test_what_would_come_too_late_is_not_asked_for_of_long_packets_either() -> None:
    queue, nack = PacketQueue(Delay()), Nack()
    for index in (0, 3):  # of 60 ms
        queue.insert(Packet(111, index, 2_880 * index, 1, b"x"), 48_000, 0.06 * index)
    # Number 1 begins at 60 ms, and is played in 20 ms; number 2 in 80 ms.
    assert nack.missing(queue, 40 * MS, 0.03, 0.18) == ()
    assert nack.missing(queue, 40 * MS, 0.03, 0.2) == (2,)


def test_what_comes_by_itself_is_not_asked_for() -> None:
    queue, nack = queue_with(0, 2), Nack()
    assert nack.missing(queue, -2_400, 0.02, 0.04) == ()
    queue.insert(Packet(111, 65_535, 960, 1, b"x"), 48_000, 0.045)
    assert nack.missing(queue, -2_400, 0.02, 0.06) == ()


def test_what_was_asked_for_is_known_when_it_comes() -> None:
    queue, nack = queue_with(0, 1, 3), Nack()
    nack.missing(queue, -2_400, 0.02, 0.06)
    assert nack.missing(queue, -2_400, 0.02, 0.08) == (0,)
    assert queue.asked == {0}
    queue.insert(Packet(111, 0, 1_920, 1, b"x"), 48_000, 0.2)
    assert queue.asked == set()


def test_an_outage_is_not_made_worse() -> None:
    queue, nack = queue_with(0, 90), Nack()
    nack.missing(queue, -100_000, 0.02, 2.0)
    assert len(nack.missing(queue, -100_000, 0.02, 2.02)) == 16
    for gap in range(200):
        queue.asked.add(1_000 + gap)
    nack.missing(queue, -100_000, 0.02, 2.1)
    assert len(queue.asked) <= 16
