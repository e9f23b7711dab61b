"""Calls through the kernel: who forwards, and what survives the loss of the agent."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.lab.config import CLIENT_ADDRESS, MEDIA, RELAY_SERVICE, Options
from tests.lab.delivery import rtp_delivery
from tests.lab.frame import Datagram
from tests.lab.lab import Lab

pytestmark = [pytest.mark.e2e, pytest.mark.bpf]

BringUp = Callable[[Options], Lab]
Record = Callable[..., Any]


@pytest.fixture(scope="module")
def lab(bring_up: BringUp) -> Lab:
    return bring_up(Options(dataplane="xdp", redis=True))


def test_the_kernel_forwards_nearly_everything(lab: Lab, record: Record) -> None:
    call = record(lab, 8.0)
    by_kernel = call.after.by_kernel.packets - call.before.by_kernel.packets
    by_agent = call.after.by_agent.packets - call.before.by_agent.packets
    assert by_kernel > 800
    assert by_agent > 0  # the checks that made the flow
    assert by_kernel / (by_kernel + by_agent) > 0.99
    # The two together are all there was, as the capture at the other end saw it.
    arrived = [each for each in call.at_client if each.destination.host == CLIENT_ADDRESS]
    arrived += [each for each in call.at_transceiver if each.destination == MEDIA]
    announcements = 1
    assert by_kernel + by_agent + announcements == len(arrived)


def test_killing_the_agent_loses_nothing(lab: Lab, record: Record) -> None:
    def meanwhile(lab: Lab) -> None:
        lab.kill(RELAY_SERVICE)
        lab.start(RELAY_SERVICE)

    call = record(lab, meanwhile=meanwhile)
    assert call.report["ok"], call.report["error"]
    assert (call.report["lost_to_server"], call.report["lost_to_client"]) == (0, 0)
    there, back = _deliveries(call)
    assert there.sent > 100
    assert back.sent > 100
    assert (there.lost, there.duplicated) == (0, 0)
    assert (back.lost, back.duplicated) == (0, 0)


def test_a_call_outlives_the_agent_even_when_nobody_starts_it_again(
    lab: Lab, record: Record
) -> None:
    call = record(lab, meanwhile=lambda lab: lab.kill(RELAY_SERVICE))
    lab.start(RELAY_SERVICE)
    assert call.report["ok"], call.report["error"]
    assert [each.lost for each in _deliveries(call)] == [0, 0]


def test_a_call_survives_the_loss_of_agent_and_maps(
    lab: Lab, record: Record, status_of: Callable[[Lab], dict[str, Any]]
) -> None:
    def meanwhile(lab: Lab) -> None:
        lab.kill(RELAY_SERVICE)
        lab.unload()
        lab.start(RELAY_SERVICE)

    call = record(lab, meanwhile=meanwhile)
    assert call.report["ok"], call.report["error"]
    counters = status_of(lab)["counters"]
    assert counters["restored"] >= 1
    assert "confirmed" not in counters, "the client's checks made the flow anew, and not Redis"
    there, back = _deliveries(call)
    assert there.lost > 0, "the flow was never gone, so nothing is proven"
    assert there.lost == there.gap, "packets were lost outside of the one gap"
    # The transceiver conceals what it misses, so it goes on sending meanwhile.
    assert back.lost == back.gap, "echoes were lost outside of the one gap"
    # Not one for each packet that arrived: a call may end before its last echo is made.
    assert back.sent > 100


def _deliveries(call: Any) -> tuple[Any, Any]:
    def of(datagrams: Iterable[Datagram], *, source: str = "", to: str = "") -> list[Datagram]:
        return [
            each for each in datagrams if each.source.host == source or each.destination.host == to
        ]

    return (
        rtp_delivery(
            of(call.at_client, source=CLIENT_ADDRESS), of(call.at_transceiver, to=MEDIA.host)
        ),
        rtp_delivery(
            of(call.at_transceiver, source=MEDIA.host), of(call.at_client, to=CLIENT_ADDRESS)
        ),
    )
