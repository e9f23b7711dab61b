"""Every system, for real: what is sent through it arrives, and comes from where it should."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay.wire.endpoint import Endpoint
from tests.bench.compare.systems.all import ALL
from tests.bench.compare.systems.ceiling import Ceiling
from tests.bench.compare.testbed.system import Flow, Leg, System
from tests.bench.compare.testbed.testbed import Testbed
from tests.lab.topology import CLIENT, RELAY, TRANSCEIVER

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

FLOWS = 3
MANY = 20_000
WAIT = 5.0
RTP = b"\x80\x6f"


@pytest.mark.parametrize("system", ALL, ids=lambda system: system.name)
def test_packets_of_open_flows_arrive_unharmed_in_both_directions(system: System) -> None:
    missing = system.missing()
    if missing is not None and missing.startswith("this kernel"):
        pytest.xfail(missing)  # nothing that one installs would help
    if missing is not None:
        pytest.skip(missing)
    with Testbed() as testbed, system.running(testbed, FLOWS) as running:
        assert len(running.flows) == FLOWS
        assert len({flow.to_transceiver.source for flow in running.flows}) == FLOWS
        for size in (160, 1200):
            for flow in running.flows:
                assert_passes(testbed, flow, RTP + secrets.token_bytes(size - len(RTP)))


def assert_passes(testbed: Testbed, flow: Flow, payload: bytes) -> None:
    there, back = flow.to_transceiver, flow.to_client
    with (
        bound(testbed, CLIENT, there.source) as client,
        bound(testbed, TRANSCEIVER, back.source) as transceiver,
    ):
        client.sendto(framed(there, payload), there.destination)
        # The transceiver sends to where a packet has come from, so that has to be its leg.
        assert received(transceiver) == (payload, back.destination)
        transceiver.sendto(payload, back.destination)
        assert received(client) == (framed(there, payload), there.destination)


def framed(leg: Leg, payload: bytes) -> bytes:
    """As ChannelData, where the leg has a channel."""
    return leg.prefix + len(payload).to_bytes(2, "big") + payload if leg.prefix else payload


@contextmanager
def bound(testbed: Testbed, host: str, local: Endpoint) -> Iterator[socket.socket]:
    with testbed.hosts[host].inside():
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with udp:
        udp.bind(local)
        udp.settimeout(WAIT)
        yield udp


def received(udp: socket.socket) -> tuple[bytes, Endpoint]:
    data, source = udp.recvfrom(2048)
    return data, Endpoint.of(source)


def test_names_are_different() -> None:
    assert len({system.name for system in ALL}) == len(ALL)


def test_icelane_is_made_to_have_more_flows_than_are_opened_one_by_one() -> None:
    icelane = next(system for system in ALL if system.name == "icelane xdp")
    with Testbed() as testbed, icelane.running(testbed, MANY) as running:
        assert len(running.flows) == MANY
        for flow in (running.flows[0], running.flows[-1]):
            assert_passes(testbed, flow, RTP + bytes(100))


def test_the_ceiling_leaves_nothing_to_the_routing_of_the_kernel() -> None:
    # The kernel forwards, too, so with a program that does nothing packets would arrive as well.
    ceiling = Ceiling()
    missing = ceiling.missing()
    if missing is not None:
        pytest.skip(missing)
    with Testbed() as testbed, ceiling.running(testbed, FLOWS) as running:
        assert_passes(testbed, running.flows[0], RTP + bytes(100))
        with testbed.hosts[RELAY].inside():
            names, values = (
                line.split()
                for line in Path("/proc/thread-self/net/snmp").read_text("ascii").splitlines()
                if line.startswith("Ip:")
            )
        assert dict(zip(names, values, strict=True))["ForwDatagrams"] == "0"


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("nftables", "nftables"),
        ("coturn", "coturn"),
        ("C relay", "gcc"),
        ("Go relay", "golang-go"),
    ],
)
def test_a_system_whose_package_is_missing_says_what_to_install(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    system = next(each for each in ALL if each.name == name)
    reason = system.missing()
    assert reason is not None
    assert f"apt-get install {package}" in reason
