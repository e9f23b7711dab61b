import random
from collections.abc import Callable

import numpy as np
import pytest

from transceiver.media.bitrate import LEAST_FEC, BitrateControl, QueueDelay
from transceiver.media.opus import OpusEncoder, has_fec
from transceiver.media.opussettings import MAX_BITRATE, MIN_BITRATE, OpusSettings
from transceiver.media.transportcc import Feedback

WANTED = OpusSettings(bitrate=40_000)


def control(wanted: OpusSettings = WANTED, *, fec: bool = True) -> BitrateControl:
    return BitrateControl(wanted, fec=fec, now=0.0)


def reports(following: BitrateControl, losses: list[float], start: float = 1.0) -> list[int]:
    found = []
    for index, lost in enumerate(losses):
        following.report(lost, start + index)
        found.append(following.settings.bitrate)
    return found


def test_without_loss_it_is_what_the_client_wants() -> None:
    assert set(reports(control(), [0.0] * 20)) == {40_000}


def test_heavy_loss_lowers_it_to_a_floor_and_none_brings_it_back() -> None:
    following = control()
    falling = reports(following, [0.2] * 20)
    assert falling[0] == 36_000
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == LEAST_FEC
    rising = reports(following, [0.0] * 40, 30.0)
    assert rising == sorted(rising)
    assert rising[-1] == 40_000


def test_some_loss_changes_nothing_but_turns_fec_on() -> None:
    following = control()
    assert not following.settings.fec
    assert set(reports(following, [0.05] * 10)) == {40_000}
    assert following.settings.fec
    assert following.settings.loss == 10


def test_fec_ends_when_loss_has_been_gone_for_a_while() -> None:
    following = control()
    reports(following, [0.08])
    on = []
    for second in range(30):
        following.report(0.0, 2.0 + second)
        on.append(following.settings.fec)
    assert all(on[:10])
    assert not any(on[20:])


def test_a_single_packet_in_a_report_is_no_reason_for_fec() -> None:
    following = control()
    reports(following, [0.02] * 5)
    assert not following.settings.fec


def test_a_client_that_cannot_use_fec_gets_none() -> None:
    following = control(fec=False)
    reports(following, [0.2] * 5)
    assert (following.settings.fec, following.settings.loss) == (False, 0)
    following.want(WANTED, fec=True)
    assert following.settings.fec


def test_it_steps_once_a_second_however_often_reports_come() -> None:
    following = control()
    for index in range(100):
        following.report(0.5, 1.0 + index / 200)
    assert following.settings.bitrate == 30_000


@pytest.mark.parametrize(
    ("remb", "bitrate"), [(0, MIN_BITRATE), (32_000, 20_000), (10**9, 40_000), (2**81, 40_000)]
)
def test_the_path_that_the_client_tells_of_is_a_limit(remb: int, bitrate: int) -> None:
    following = control()
    following.remb(remb)
    assert following.settings.bitrate == bitrate
    following.remb(10**6)
    assert following.settings.bitrate == 40_000


@pytest.mark.parametrize("loss", [0.03, 0.05, 0.1, 0.2, 0.5])
def test_where_fec_is_asked_for_libopus_does_it(loss: float) -> None:
    following = control(OpusSettings(bitrate=32_000))
    reports(following, [loss] * 20)
    encoder = OpusEncoder(following.settings)
    at = np.arange(480 * 60) / 24_000
    buzz = np.sum([np.sin(2 * np.pi * 140 * k * at) / k for k in range(1, 20)], axis=0)
    pcm = (4_000 * buzz * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * at))).astype("<i2").tobytes()
    packets = [encoder.encode(pcm[at : at + 960]) for at in range(0, len(pcm), 960)]
    assert sum(map(has_fec, packets)) > 30


def test_fec_that_has_no_room_is_not_paid_for() -> None:
    following = control(OpusSettings(bitrate=24_000))
    reports(following, [0.2] * 5)
    assert not following.settings.fec


def test_other_wishes_of_the_client_stay() -> None:
    following = control(OpusSettings(bitrate=64_000, dtx=True, cbr=True, bandwidth=8_000))
    reports(following, [0.3] * 3)
    settings = following.settings
    assert (settings.dtx, settings.cbr, settings.bandwidth) == (True, True, 8_000)
    following.want(OpusSettings(bitrate=16_000), fec=True)
    assert following.settings.bitrate <= 16_000


def drive(
    following: BitrateControl, seconds: float, delay_of: Callable[[float], float], lost: float = 0.0
) -> list[int]:
    """Packets every 20 ms, feedback of ten each, by clocks 1,000 s apart."""
    chance = random.Random(13)
    found, now, arrivals, base = [], 100.0, [], None
    for index in range(int(seconds * 50)):
        now += 0.02
        number = following.number(now)
        base = number if base is None else base
        came = now + 1_000.0 + delay_of(index / 50) + chance.uniform(0, 0.02)
        arrivals.append(None if chance.random() < lost else came)
        if len(arrivals) == 10:
            following.feedback(Feedback(1, 2, base, 0, tuple(arrivals)), now + 0.05)
            arrivals, base = [], None
            found.append(following.settings.bitrate)
    return found


def test_a_queue_that_grows_lowers_it_below_the_floor_of_loss() -> None:
    rates = drive(control(), 20, lambda at: 0.03 + max(0.0, at - 2) * 0.2)
    assert rates[5] == 40_000
    assert rates[-1] == MIN_BITRATE


def test_jitter_and_a_steady_delay_do_not() -> None:
    chance = random.Random(7)
    rates = drive(control(), 30, lambda _at: 0.3 + chance.uniform(0, 0.2))
    assert set(rates) == {40_000}


def test_loss_is_taken_from_feedback_and_no_more_from_reports() -> None:
    following = control()
    drive(following, 10, lambda _at: 0.03, lost=0.2)
    assert following.settings.fec
    assert 0.1 < following.loss < 0.45
    before = following.loss
    following.report(0.9, 111.0)
    assert following.loss == before
    following.report(0.9, 120.0)
    assert following.loss == 0.9


def test_feedback_about_packets_that_were_never_sent_is_nonsense() -> None:
    following = control()
    for _ in range(10):
        following.number(1.0)
    for base in (10, 500, 60_000):
        following.feedback(Feedback(1, 2, base, 0, (None,) * 200), 5.0)
    assert following.loss == 0
    assert following.settings.bitrate == 40_000


def test_the_least_delay_is_forgotten_after_a_while() -> None:
    queue = QueueDelay()
    assert queue.add(5.0, 0.0) == 0.0
    assert queue.add(5.2, 1.0) == pytest.approx(0.2)
    for second in range(2, 13):
        queue.add(5.2, float(second))
    assert queue.delay == 0.0
    assert queue.add(4.0, 14.0) == 0.0


def test_bounds_are_those_of_speech() -> None:
    assert (MIN_BITRATE, MAX_BITRATE) == (12_000, 64_000)
