import random
import statistics

import pytest

from transceiver.media.rtcptimer import RtcpTimer


def intervals(timer: RtcpTimer, members: int, count: int) -> list[float]:
    found: list[float] = []
    last = now = 0.0
    while len(found) < count:
        now += 0.02
        if timer.due(now):
            found.append(now - last)
            last = now
            timer.reported(members, now)
    return found


def test_the_first_report_is_early_and_the_others_are_a_second_apart() -> None:
    timer = RtcpTimer(64_000, random.Random(1).random, 0.0)
    first, *others = intervals(timer, 2, 200)
    assert first < 0.7
    assert RtcpTimer(64_000, lambda: 0.999, 0.0).due(0.65)
    assert min(others) > 0.35
    assert max(others) < 1.3
    assert statistics.fmean(others) == pytest.approx(1 / 1.218, rel=0.1)
    assert statistics.pstdev(others) > 0.1


def test_many_or_large_reports_are_rarer() -> None:
    few = intervals(RtcpTimer(64_000, lambda: 0.5, 0.0), 2, 20)
    many = intervals(RtcpTimer(64_000, lambda: 0.5, 0.0), 32, 20)
    assert statistics.fmean(many) > 4 * statistics.fmean(few)
    large = RtcpTimer(64_000, lambda: 0.5, 0.0)
    for _ in range(100):
        large.seen(1_000)
    assert statistics.fmean(intervals(large, 2, 20)) > 2 * statistics.fmean(few)


def test_rtcp_takes_its_share_and_no_more() -> None:
    timer = RtcpTimer(64_000, random.Random(1).random, 0.0)
    for _ in range(200):
        timer.seen(600)
    per_second = (600 + 28) * 8 / statistics.fmean(intervals(timer, 4, 300))
    # Each of four members has a quarter of 5 %; the compensation adds a fifth.
    assert per_second < 1.3 * 64_000 * 0.05 / 4
