"""A real call in both dataplanes, as its client tells it and as it was on the wire."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.e2e.conftest import WAIT
from tests.lab.config import CLIENT_ADDRESS, MEDIA, PORTS, UPSTREAM, VIP, Options
from tests.lab.delivery import rtp_delivery
from tests.lab.frame import Datagram
from tests.lab.lab import Lab
from tests.lab.topology import RELAY

pytestmark = pytest.mark.e2e

SECONDS = 5.0
PACKETS = SECONDS * 50  # one for 20 ms of audio

BringUp = Callable[[Options], Lab]


@pytest.fixture(scope="module", params=[pytest.param("xdp", marks=pytest.mark.bpf), "userspace"])
def lab(request: pytest.FixtureRequest, bring_up: BringUp, unprivileged_user: str) -> Lab:
    if request.param == "xdp":
        return bring_up(Options(dataplane="xdp"))
    return bring_up(Options(dataplane="userspace", relay_user=unprivileged_user))


@pytest.fixture(scope="module")
def call(lab: Lab, record: Callable[[Lab, float], Any]) -> Any:
    return record(lab, SECONDS)


def test_audio_goes_there_and_comes_back(call: Any) -> None:
    report = call.report
    assert report["ok"], report["error"]
    assert report["remote"] == str(VIP)
    assert report["sent"] >= 0.9 * PACKETS
    assert report["received"]["packets"] >= 0.9 * PACKETS
    assert report["received"]["energy"] > 0.001
    assert (report["lost_to_server"], report["lost_to_client"]) == (0, 0)


def test_no_packet_is_lost_or_doubled_on_the_wire(call: Any) -> None:
    there = rtp_delivery(
        _from(call.at_client, CLIENT_ADDRESS), _to(call.at_transceiver, MEDIA.host)
    )
    back = rtp_delivery(_from(call.at_transceiver, MEDIA.host), _to(call.at_client, CLIENT_ADDRESS))
    assert there.sent >= 0.9 * PACKETS
    assert back.sent >= 0.9 * PACKETS
    assert (there.lost, there.duplicated) == (0, 0)
    assert (back.lost, back.duplicated) == (0, 0)


def test_each_end_sees_only_the_addresses_that_it_should(call: Any) -> None:
    assert {_remote(each, CLIENT_ADDRESS) for each in call.at_client} == {VIP}
    # Of media: a check that is late begins a flow of its own, which nobody confirms.
    (upstream,) = {_remote(each, MEDIA.host) for each in call.at_transceiver if each.rtp}
    lowest, highest = map(int, PORTS.split("-"))
    assert upstream.host == UPSTREAM
    assert lowest <= upstream.port <= highest
    assert {each.source for each in _from(call.at_transceiver, MEDIA.host)} == {MEDIA}


def test_every_checksum_is_right_at_both_ends(call: Any) -> None:
    assert len(call.at_client) > PACKETS
    assert len(call.at_transceiver) > PACKETS
    assert all(each.intact for each in (*call.at_client, *call.at_transceiver))


def test_payloads_pass_unchanged(call: Any) -> None:
    left = [each.payload for each in _from(call.at_client, CLIENT_ADDRESS) if each.rtp]
    arrived = [each.payload for each in _to(call.at_transceiver, MEDIA.host) if each.rtp]
    assert sorted(left) == sorted(arrived)


def test_a_call_that_has_ended_leaves_no_flow(
    lab: Lab, call: Any, status_of: Callable[[Lab], dict[str, Any]]
) -> None:
    """Its transceiver says goodbye: nobody waits for the flow to idle out."""
    assert call.report["ok"]
    deadline = time.monotonic() + WAIT
    while flows := [each for each in status_of(lab)["flows"] if each["state"] != "pending"]:
        assert time.monotonic() < deadline, flows
        time.sleep(0.1)
    assert status_of(lab)["counters"]["ended"] >= 1


def test_the_relay_host_is_still_no_router(lab: Lab, call: Any) -> None:
    assert call.report["ok"]
    assert lab.host(RELAY).sysctl("ipv4/ip_forward") == 0


def _from(datagrams: Iterable[Datagram], host: str) -> list[Datagram]:
    return [each for each in datagrams if each.source.host == host]


def _to(datagrams: Iterable[Datagram], host: str) -> list[Datagram]:
    return [each for each in datagrams if each.destination.host == host]


def _remote(datagram: Datagram, local: str) -> Any:
    return datagram.source if datagram.destination.host == local else datagram.destination
