"""Counters by reason and processor, and their rates."""

import pytest

from relay.admin.stats import AGENT, KERNEL, Count, Stat, agent_counts, kernel_counts, rated


def test_the_kernels_counters_are_added_up_over_processors() -> None:
    by_cpu = [{"not_ours": 3, "stun_forged": 0}, {"not_ours": 4, "stun_forged": 2}]
    assert kernel_counts(by_cpu) == [
        Count(KERNEL, "not_ours", 7, (3, 4)),
        Count(KERNEL, "stun_forged", 2, (0, 2)),
    ]
    assert kernel_counts([]) == []


@pytest.mark.parametrize(
    ("reason", "verdict"),
    [("forwarded_to_client", "forward"), ("stun_forged", "drop"), ("not_ours", "pass")],
)
def test_each_reason_has_a_verdict(reason: str, verdict: str) -> None:
    assert Count(KERNEL, reason, 1).verdict == verdict
    assert Count(AGENT, reason, 1).verdict == ""


def test_rates_are_of_the_time_between_two_looks() -> None:
    before = agent_counts({"confirmed": 10, "expired": 9})
    after = agent_counts({"confirmed": 30, "expired": 3, "ended": 4})
    found = {each.counter.reason: each.per_second for each in rated(before, after, 2.0)}
    assert found == {"confirmed": 10.0, "expired": 1.5, "ended": 2.0}


def test_for_programs_and_for_people() -> None:
    stat = Stat(Count(KERNEL, "not_ours", 1234, (1000, 234)), 12.34)
    assert stat.as_json() == {
        "source": "kernel",
        "reason": "not_ours",
        "verdict": "pass",
        "total": 1234,
        "by_cpu": [1000, 234],
        "per_second": 12.3,
    }
    assert list(stat.as_row(by_cpu=True).values())[3:] == ["1,234", "12.3", "1,000", "234"]
    assert list(Stat(Count(AGENT, "ended", 1)).as_row(by_cpu=False)) == [
        *("source", "reason", "verdict", "total")
    ]
