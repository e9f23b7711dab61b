"""New sessions, one after the other and many at a time."""

import pytest

from relay.wire.endpoint import Endpoint
from tests.bench.compare.benchmarks.sessions import Outcome, Requests, Sessions
from tests.bench.compare.conftest import system_named
from tests.bench.compare.systems.coturn import Coturn
from tests.lab.errors import LabError

VIP = Endpoint("198.18.255.10", 3478)
CLIENTS = [Endpoint("198.18.0.1", 10_000 + number) for number in range(3)]
REQUESTS = Requests.make(VIP, CLIENTS, ["one", "two", "three"])


def success(packet: bytes) -> bytes:
    return packet[:28] + b"\x01\x01" + packet[30:]


def test_each_session_has_a_client_and_a_ufrag_of_its_own() -> None:
    for packet, client, ufrag in zip(
        REQUESTS.packets, CLIENTS, (b"one:", b"two:", b"three:"), strict=True
    ):
        assert packet[12:16] + packet[20:22] == client.packed[12:]
        assert ufrag in packet


def test_a_success_is_that_of_its_session() -> None:
    assert [REQUESTS.answered(success(packet)) for packet in REQUESTS.packets] == [0, 1, 2]


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        REQUESTS.packets[0],
        success(Requests.make(VIP, CLIENTS[:1], ["other"]).packets[0]),
    ],
    ids=["nothing", "a request", "of another run"],
)
def test_what_is_no_success_of_ours_is_not_taken(packet: bytes) -> None:
    assert REQUESTS.answered(packet) is None


def test_figures() -> None:
    outcome = Outcome(seconds=2.0, waits=[0.001] * 99 + [0.003], retransmitted=5)
    figures = outcome.figures()
    assert figures["per_second"] == 50
    assert figures["p50_us"] == pytest.approx(1000)
    assert 1000 < figures["p99_us"] < 3000
    assert figures["retransmitted_percent"] == 5
    with pytest.raises(LabError, match="confirms no sessions"):
        Outcome().figures()


@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.parametrize("name", ["icelane xdp", "icelane userspace", "nginx stream", "C relay"])
def test_sessions_are_confirmed(name: str) -> None:
    system = system_named(name)
    benchmark = Sessions(system, sessions=300, sequential=20, half=50)
    if reason := benchmark.system.missing():
        pytest.skip(reason)
    figures = {(each.metric, each.parameters["opened"]): each.value for each in benchmark.measure()}
    assert 0 < figures["p50_us", "sequential"] <= figures["p99_us", "sequential"]
    assert figures["per_second", "concurrent"] > 0
    assert 0 < figures["p50_us", "half as fast"] <= figures["p99_us", "half as fast"]


@pytest.mark.netns
def test_a_server_without_binding_requests_is_refused() -> None:
    benchmark = Sessions(Coturn())
    if reason := benchmark.system.missing():
        pytest.skip(reason)
    with pytest.raises(LabError, match="opens no flows by Binding requests"):
        list(benchmark.measure())
