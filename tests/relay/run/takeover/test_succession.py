"""A relay takes over from another one, under calls."""

import asyncio
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.errors import TakeoverError
from relay.run.takeover.predecessor import Predecessor
from tests.ports import free_port
from tests.relay.forwarding.tcppair import TcpClient
from tests.relay.run.takeover.relays import LIMIT, Relays, ended, unharmed

CALLS = 3
WAIT = 10.0  # seconds until a datagram that must come has come


@pytest.fixture
def relays(tmp_path: Path) -> Iterator[Relays]:
    found = Relays(tmp_path, slots=CALLS)
    yield found
    found.stop()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_call_loses_a_packet_and_all_keep_their_ports(relays: Relays, workers: str) -> None:
    metrics = f"127.0.0.1:{free_port()}"
    first = relays.start(workers=workers, metrics=metrics)
    relays.drain()
    with relays.loads(CALLS) as loads:
        second = relays.start(workers=workers, metrics=metrics, takeover="")
        assert "has taken over, and this one ends" in ended(first)
        for load in loads:
            load.wait_for_packets()
    assert [unharmed(load) for load in loads] == [True] * CALLS
    status = relays.status()
    assert status["pid"] == second.pid
    assert len(status["flows"]) == status["counters"]["inherited"] == CALLS
    assert status["registry"]["draining"]
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=WAIT) as answer:
        assert b'icelane_relay_flows{state="confirmed"} 3.0' in answer.read()


def test_without_a_relay_to_take_over_from_it_starts_like_any_other(relays: Relays) -> None:
    only = relays.start(takeover="")
    assert relays.status()["pid"] == only.pid


def test_a_successor_that_dies_on_the_way_has_cost_nothing(relays: Relays) -> None:
    first = relays.start()
    with relays.loads(CALLS) as loads:
        half = Predecessor.ask(relays.admin, 1)
        half.hold()
        for _, sockets in half.give():  # it has everything, and does not say that it serves
            for each in sockets:
                each.close()
        half.close()
        half.sockets.close()
        for load in loads:
            load.wait_for_packets()
        relays.start(takeover="")
        ended(first)
        for load in loads:
            load.wait_for_packets()
    assert [unharmed(load) for load in loads] == [True] * CALLS


def test_the_successor_of_one_that_died_meanwhile_serves(relays: Relays) -> None:
    """What clients have sent waits in the sockets that both have."""
    first = relays.start()
    half = Predecessor.ask(relays.admin, 1)
    first.kill()
    first.wait(WAIT)
    assert half.has_ended
    with pytest.raises(TakeoverError):
        half.hold()
    half.close()
    half.sockets.close()
    relays.start(takeover="")


def test_a_check_under_way_is_answered_and_a_connection_goes_on(relays: Relays) -> None:
    """Neither is in any mirror: a pending flow, and one of a client over TCP."""
    first = relays.start(tcp=str(relays.vip))
    pending, over_tcp = relays.check(), relays.check()
    with (
        relays.transceiver(1) as transceiver,
        TcpClient(relays.vip) as connected,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        asyncio.run(connected.send(over_tcp[0]))
        tcp_upstream = relays.check_at(transceiver, over_tcp[0])
        transceiver.sendto(over_tcp[1], tcp_upstream)
        assert asyncio.run(connected.receive()) == over_tcp[1]
        relays.launch(tcp=str(relays.vip), takeover="")
        deadline = time.monotonic() + LIMIT
        while first.poll() is None:  # again and again, as clients do: it is pending for 10 s
            assert time.monotonic() < deadline, "nobody takes over"
            client.sendto(pending[0], relays.vip)
            upstream = relays.check_at(transceiver, pending[0])
            time.sleep(0.02)
        client.settimeout(WAIT)
        transceiver.sendto(pending[1], upstream)
        assert client.recv(2048) == pending[1]
        asyncio.run(connected.send(over_tcp[0]))
        assert relays.check_at(transceiver, over_tcp[0]) == tcp_upstream
        assert relays.status()["counters"]["inherited"] == len(relays.status()["flows"]) == 2


def test_an_agent_of_another_shape_is_stopped_first(relays: Relays) -> None:
    first = relays.start()
    second = relays.start(takeover="", workers="2")
    assert "taken over" not in ended(first)
    assert relays.status()["pid"] == second.pid
    second.terminate()
    assert "cannot hand over: it has 1 workers. It is stopped now" in ended(second)
