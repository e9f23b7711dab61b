"""The demo's figures: what is good enough, and what is called a problem."""

from typing import Any

import pytest

from tests.lab.figures import Count, Figures, Meter


def report(**changes: Any) -> dict[str, Any]:
    """What `icelane call --json` prints after a good call of 10 s."""
    return {
        "ok": True,
        "error": None,
        "setup_ms": {"first_audio": 250.0},
        "sent": 500,
        "received": {"packets": 499, "longest_pause_ms": 31.0},
        "far_end": {"lost": 0},
        "lost_to_server": 0,
        "lost_to_client": 0,
    } | changes


def figures(
    *,
    dataplane: str = "xdp",
    by_kernel: int = 1000,
    by_agent: int = 6,
    taken_over: int | None = None,
    interrupted: bool = False,
    **changes: Any,
) -> Figures:
    return Figures.of(
        report(**changes),
        title="a call",
        dataplane=dataplane,
        by_kernel=by_kernel,
        by_agent=by_agent,
        taken_over=taken_over,
        loss_allowed=interrupted,
    )


def test_a_good_call_has_no_problems() -> None:
    call = figures()
    assert list(call.problems()) == []
    assert call.kernel_share == pytest.approx(1000 / 1006)
    assert call.as_json()["kernel_share"] == 0.99404
    assert call.as_json()["problems"] == []
    assert list(figures(dataplane="userspace", by_kernel=0, by_agent=1006).problems()) == []


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (figures(lost_to_server=1), "1 audio packets were lost"),
        (figures(lost_to_client=2), "2 audio packets were lost"),
        (figures(lost_to_server=None), "did not say"),
        (figures(received={"packets": 0, "longest_pause_ms": 0.0}), "no audio came back"),
        (figures(error={"code": "ice", "message": "no route"}), "the call failed: no route"),
        (figures(by_kernel=990, by_agent=10), "only 99.0%"),
        (figures(by_kernel=0, by_agent=0), "only 0.0%"),
        (figures(taken_over=0), "did not take the flow over"),
        (figures(dataplane="userspace"), "the kernel forwarded"),
    ],
)
def test_what_is_not_as_it_should_be_is_said(call: Figures, problem: str) -> None:
    (said,) = call.problems()
    assert problem in said


def test_a_call_that_lost_its_flow_may_lose_packets_and_must_go_on() -> None:
    resumed = figures(
        interrupted=True, taken_over=1, lost_to_server=120, far_end={"lost": 120}, by_agent=40
    )
    assert list(resumed.problems()) == []
    ended = figures(interrupted=True, taken_over=1, lost_to_server=300, far_end={"lost": 0})
    (problem,) = ended.problems()
    assert "its last 300 packets were lost" in problem


def test_a_meter_goes_on_when_its_counter_has_a_new_owner() -> None:
    meter = Meter(Count(owner=1, packets=100))
    for packets in (100, 130):
        meter.read(Count(1, packets))
    meter.read(None)
    assert meter.total == 30
    for packets in (0, 5, 7):
        meter.read(Count(2, packets))
    assert meter.total == 37
    meter.read(Count(3, 40))
    assert meter.total == 77


def test_a_meter_starts_without_an_owner() -> None:
    meter = Meter()
    meter.read(None)
    assert meter.total == 0
    meter.read(Count(1, 4))
    assert meter.total == 4
