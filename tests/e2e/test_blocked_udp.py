"""Browsers whose network lets no UDP out talk over TCP (ICE-TCP), behind a cloud's NAT, too."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.config import ADVERTISED, HTTPS, VIP, Options
from tests.lab.lab import Lab
from tests.lab.topology import CLIENT

pytestmark = [pytest.mark.e2e, pytest.mark.netns]

Browse = Callable[..., dict[str, Any]]
Status = Callable[[Lab], dict[str, Any]]


LABS = {
    "xdp": Options(dataplane="xdp", tcp=True),
    "userspace": Options(dataplane="userspace", tcp=True),
    "xdp behind a NAT": Options(dataplane="xdp", tcp=True, nat=True),
}
BOTH_BROWSERS = pytest.mark.parametrize("browser", ["chromium", "firefox"])


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.bpf if options.dataplane == "xdp" else ())
        for name, options in LABS.items()
    ],
)
def lab(request: pytest.FixtureRequest, bring_up: Callable[[Options], Lab]) -> Lab:
    return bring_up(LABS[request.param])


@contextmanager
def blocked(lab: Lab, *packets: str) -> Iterator[None]:
    """A firewall before the client drops what it sends of these, in nft's words."""
    rules = "\n".join(f"add rule inet blocked output {each} drop" for each in packets)
    text = (
        "add table inet blocked\n"
        "add chain inet blocked output { type filter hook output priority 0; }\n" + rules
    )
    nft(lab, "-f", "-", text=text)
    try:
        yield
    finally:
        nft(lab, "delete", "table", "inet", "blocked")


def nft(lab: Lab, *arguments: str, text: str = "") -> None:
    command = lab.hosts[CLIENT].command(["nft", *arguments])
    subprocess.run(command, input=text, text=True, check=True)


def selected(seen: dict[str, Any]) -> tuple[str, int, str]:
    """The remote candidate in use: address, port and protocol."""
    assert seen["called"]["error"] is None, seen["called"]
    raw = {each["id"]: each for each in seen["raw"]}
    (transport,) = [each for each in seen["raw"] if each["type"] == "transport"]
    assert transport["dtlsState"] == "connected"
    remote = raw[raw[transport["selectedCandidatePairId"]]["remoteCandidateId"]]
    assert remote["candidateType"] == "host"  # learnt from the answer, not from a packet
    return remote["address"].strip("[]"), remote["port"], remote["protocol"]


def offered(lab: Lab, port: int, protocol: str) -> set[tuple[str, int, str]]:
    """The same of all candidates with this port and protocol; the NAT has both IP versions."""
    hosts = [each.host for each in ADVERTISED] if lab.options.nat else [VIP.host]
    return {(host, port, protocol) for host in hosts}


def assert_audible(seen: dict[str, Any]) -> None:
    (inbound,) = [
        each for each in seen["raw"] if each["type"] == "inbound-rtp" and each["kind"] == "audio"
    ]
    assert inbound["packetsReceived"] > 100
    assert inbound["packetsLost"] == 0
    assert inbound["totalAudioEnergy"] > 1e-3
    answers = [each["text"] for each in seen["called"]["events"] if each["direction"] == "←"]
    assert any("session.updated" in each for each in answers), "the data channel answers, too"


@BOTH_BROWSERS
def test_a_call_goes_over_tcp_where_udp_is_blocked(
    lab: Lab, browse: Browse, browser: str, status_of: Status
) -> None:
    before = status_of(lab)["counters"]
    with blocked(lab, "meta l4proto udp"):
        seen = browse(lab, browser=browser)
    assert selected(seen) in offered(lab, VIP.port, "tcp")
    assert_audible(seen)
    after = status_of(lab)
    counted = {name: after["counters"].get(name, 0) - before.get(name, 0) for name in COUNTERS}
    # All of it went through the agent, and nothing of it is left.
    assert counted["forwarded_to_clients"] > 100
    assert counted["forwarded_to_transceivers"] > 100
    assert counted["tcp_accepted"] == counted["disconnected"] > 0
    assert counted["tcp_not_taken"] == 0
    assert [each for each in after["flows"] if each["transport"] == "tcp"] == []


COUNTERS = (
    *("forwarded_to_clients", "forwarded_to_transceivers"),
    *("tcp_accepted", "disconnected", "tcp_not_taken"),
)


def test_it_goes_over_443_where_nothing_else_is_open(lab: Lab, browse: Browse) -> None:
    with blocked(lab, "meta l4proto udp", f"tcp dport {VIP.port}"):
        seen = browse(lab)
    assert selected(seen) in offered(lab, HTTPS, "tcp")
    assert_audible(seen)


@BOTH_BROWSERS
@pytest.mark.parametrize(
    "lab", [pytest.param("xdp", marks=pytest.mark.bpf), "userspace"], indirect=True
)
def test_it_goes_over_udp_where_that_is_open(lab: Lab, browse: Browse, browser: str) -> None:
    seen = browse(lab, browser=browser)
    assert selected(seen) in offered(lab, VIP.port, "udp")
    assert_audible(seen)
