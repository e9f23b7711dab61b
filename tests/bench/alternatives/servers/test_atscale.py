"""Many sessions: what they take, by listings of the kernel and nft, and on real servers."""

import json

import pytest

from relay.wire.endpoint import Endpoint
from tests.bench.alternatives.servers.atscale import (
    Firewall,
    ServerBack,
    Sockets,
    count_entries,
    count_sockets,
    rules,
)
from tests.bench.alternatives.servers.systems import ONE_SERVICE, PORTS, Server

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue\n"


def test_sockets_are_counted_by_where_they_are_bound() -> None:
    listing = HEADER + "\n".join(
        f"   {number}: {local} 00000000:0000 07 00000000:00000000"
        for number, local in enumerate(("0AFF12C6:0D96", "00000000:0035", "0100007F:1F90"))
    )
    public = Endpoint("198.18.255.10", 3478)
    assert count_sockets(listing, public) == {"sockets": 3, "public_ports": 2}
    assert count_sockets(HEADER, public) == {"sockets": 0, "public_ports": 0}


def test_a_rule_is_for_all_ports_of_a_set() -> None:
    assert "elements = { 10000, 10001 }" in rules(range(10_000, 10_002))


def test_entries_are_those_of_the_set() -> None:
    listing = {"nftables": [{"metainfo": {}}, {"set": {"name": "open", "elem": [1, 2, 3]}}]}
    assert count_entries(json.dumps(listing)) == 3


@pytest.mark.netns
@pytest.mark.parametrize(("system", "ports"), [(PORTS, 60), (ONE_SERVICE, 1)])
def test_a_session_takes_a_port_or_none(system: Server, ports: int) -> None:
    figures = {each.metric: each.value for each in Sockets(system, sessions=60).measure()}
    assert figures == {"sockets": ports, "public_ports": ports}


@pytest.mark.netns
@pytest.mark.parametrize("system", [PORTS, ONE_SERVICE])
def test_a_server_that_was_killed_serves_again(system: Server) -> None:
    (back,) = ServerBack(system, sessions=60).measure()
    assert back.value > 0


@pytest.mark.netns
def test_a_firewall_has_an_entry_for_each_port() -> None:
    benchmark = Firewall(PORTS, ports=30, sessions=30, more=2)
    figures = {each.metric: each.value for each in benchmark.measure()}
    assert figures["entries"] == 30
    assert figures["add_ms"] > 0
