"""Every contestant, for real: what is sent through it arrives, and comes from where it should."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay.wire.endpoint import Endpoint
from tests.bench.compare.model import Contestant, Leg, OpenFlow
from tests.bench.compare.systems.all import ALL
from tests.bench.compare.systems.ceiling import Ceiling
from tests.bench.compare.testbed import Arena
from tests.lab.topology import CLIENT, RELAY, TRANSCEIVER

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

FLOWS = 3
MANY = 20_000
WAIT = 5.0
RTP = b"\x80\x6f"


@pytest.mark.parametrize("contestant", ALL, ids=lambda contestant: contestant.name)
def test_packets_of_open_flows_arrive_unharmed_in_both_directions(contestant: Contestant) -> None:
    missing = contestant.missing()
    if missing is not None and missing.startswith("this kernel"):
        pytest.xfail(missing)  # nothing that one installs would help
    if missing is not None:
        pytest.skip(missing)
    with Arena() as arena, contestant.running(arena, FLOWS) as running:
        assert len(running.flows) == FLOWS
        assert len({flow.to_transceiver.source for flow in running.flows}) == FLOWS
        for size in (160, 1200):
            for flow in running.flows:
                assert_passes(arena, flow, RTP + secrets.token_bytes(size - len(RTP)))


def assert_passes(arena: Arena, flow: OpenFlow, payload: bytes) -> None:
    there, back = flow.to_transceiver, flow.to_client
    with (
        bound(arena, CLIENT, there.source) as client,
        bound(arena, TRANSCEIVER, back.source) as transceiver,
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
def bound(arena: Arena, host: str, local: Endpoint) -> Iterator[socket.socket]:
    with arena.hosts[host].inside():
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with udp:
        udp.bind(local)
        udp.settimeout(WAIT)
        yield udp


def received(udp: socket.socket) -> tuple[bytes, Endpoint]:
    data, source = udp.recvfrom(2048)
    return data, Endpoint.of(source)


def test_names_are_different() -> None:
    assert len({contestant.name for contestant in ALL}) == len(ALL)


def test_icelane_is_made_to_have_more_flows_than_are_opened_one_by_one() -> None:
    icelane = next(contestant for contestant in ALL if contestant.name == "icelane xdp")
    with Arena() as arena, icelane.running(arena, MANY) as running:
        assert len(running.flows) == MANY
        for flow in (running.flows[0], running.flows[-1]):
            assert_passes(arena, flow, RTP + bytes(100))


def test_the_ceiling_leaves_nothing_to_the_routing_of_the_kernel() -> None:
    # The kernel forwards, too, so with a program that does nothing packets would arrive as well.
    ceiling = Ceiling()
    missing = ceiling.missing()
    if missing is not None:
        pytest.skip(missing)
    with Arena() as arena, ceiling.running(arena, FLOWS) as running:
        assert_passes(arena, running.flows[0], RTP + bytes(100))
        with arena.hosts[RELAY].inside():
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
def test_a_contestant_whose_package_is_missing_says_what_to_install(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    contestant = next(each for each in ALL if each.name == name)
    reason = contestant.missing()
    assert reason is not None
    assert f"apt-get install {package}" in reason
