"""Results of demo calls: which pass, and which have problems."""

from typing import Any

import pytest

from tests.lab.call_result import CallResult


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


def result(
    *,
    dataplane: str = "xdp",
    by_kernel: int = 1000,
    by_agent: int = 6,
    recovered_flows: int | None = None,
    loss_until: str | None = None,
    **changes: Any,
) -> CallResult:
    return CallResult.of(
        report(**changes),
        title="a call",
        dataplane=dataplane,
        by_kernel=by_kernel,
        by_agent=by_agent,
        recovered_flows=recovered_flows,
        loss_until=loss_until,
    )


def test_passed_call_has_no_problems() -> None:
    call = result()
    assert list(call.problems()) == []
    assert call.kernel_share == pytest.approx(1000 / 1006)
    assert call.as_json()["kernel_share"] == 0.99404
    assert call.as_json()["problems"] == []
    assert list(result(dataplane="userspace", by_kernel=0, by_agent=1006).problems()) == []


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (result(lost_to_server=1), "1 audio packets were lost"),
        (result(lost_to_client=2), "2 audio packets were lost"),
        (result(lost_to_server=None), "did not report"),
        (result(received={"packets": 0, "longest_pause_ms": 0.0}), "received no audio"),
        (result(error={"code": "ice", "message": "no route"}), "the call failed: no route"),
        (result(by_kernel=990, by_agent=10), "only 99.0%"),
        (result(by_kernel=0, by_agent=0), "only 0.0%"),
        (result(recovered_flows=0), "no agent recovered the flow"),
        (result(dataplane="userspace"), "the kernel forwarded"),
    ],
)
def test_problems_are_reported(call: CallResult, problem: str) -> None:
    (reported,) = call.problems()
    assert problem in reported


def test_a_call_whose_flow_was_lost_may_lose_packets_but_must_recover() -> None:
    resumed = result(
        loss_until="it was restored",
        recovered_flows=1,
        lost_to_server=120,
        far_end={"lost": 120},
        by_agent=40,
    )
    assert list(resumed.problems()) == []
    ended = result(
        loss_until="it was restored", recovered_flows=1, lost_to_server=300, far_end={"lost": 0}
    )
    (problem,) = ended.problems()
    assert "its last 300 packets were lost" in problem
