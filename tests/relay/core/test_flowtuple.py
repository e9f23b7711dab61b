"""What a dataplane is told of a flow: packed, because there are very many."""

import sys
from socket import AF_INET6
from typing import Any

import pytest

from relay.core.flowtuple import FlowTuple, Source, family_of
from relay.wire.endpoint import Endpoint
from relay.wire.route import TARGET, decode
from relay.wire.transport import Transport

PARTS: dict[str, Any] = {
    "client": Endpoint("198.51.100.7", 40000),
    "vip": Endpoint("2001:db8:1::10", 3478),
    "upstream": Endpoint("192.0.2.1", 20417),
    "transceiver": Endpoint("2001:db8:2::2", 5000),
    "route": bytes(range(21)),
    "transport": Transport.UDP,
}
OTHERS: dict[str, Any] = {"route": bytes(21), "transport": Transport.TCP}
FLOW = FlowTuple(**PARTS)


def test_it_gives_back_what_it_was_made_of() -> None:
    assert {name: getattr(FLOW, name) for name in PARTS} == PARTS


def test_its_packed_parts_make_the_same() -> None:
    addresses = [part.packed for part in PARTS.values() if isinstance(part, Endpoint)]
    packed = [*addresses, PARTS["route"]]
    assert FlowTuple.of(*packed) == FLOW
    assert FlowTuple.of(*packed).upstream == PARTS["upstream"]


@pytest.mark.parametrize("transport", Transport)
def test_a_source_gives_back_what_it_was_made_of(transport: Transport) -> None:
    source = Source(FLOW.client, FLOW.vip, transport)
    assert (source.client, source.vip, source.transport) == (FLOW.client, FLOW.vip, transport)
    assert Source.of(FLOW.packed_client, FLOW.packed_vip, source.mark) == source
    assert source.ends == FLOW.packed_client + FLOW.packed_vip
    assert source.client_port == FLOW.client.port
    assert source.packed_client == FLOW.packed_client


def test_its_packed_parts_are_those_of_its_addresses() -> None:
    for name in ("client", "vip", "upstream", "transceiver"):
        assert getattr(FLOW, f"packed_{name}") == PARTS[name].packed
    assert FLOW.packed_target == decode(FLOW.route).raw[TARGET]
    assert FLOW.without_transceiver == FLOW.from_client + FLOW.packed_upstream
    assert FLOW.upstream_family is family_of(FLOW.packed_transceiver) is AF_INET6


def test_it_can_be_at_another_upstream_address() -> None:
    for transport in Transport:
        flow, other = FLOW._replace(transport=transport), Endpoint("192.0.2.9", 1)
        assert flow.at(other.packed) == flow._replace(upstream=other)


def test_client_and_vip_tell_what_clients_send_into_apart() -> None:
    moved = FLOW._replace(upstream=PARTS["transceiver"], transceiver=PARTS["upstream"])
    assert moved.from_client == FLOW.from_client == FLOW.client.packed + FLOW.vip.packed
    assert FLOW._replace(client=PARTS["vip"]).from_client != FLOW.from_client


def test_the_same_address_and_port_of_another_transport_is_another_client() -> None:
    over_tcp = FLOW._replace(transport=Transport.TCP)
    assert over_tcp.from_client == Source(FLOW.client, FLOW.vip, Transport.TCP)
    assert FLOW.from_client == Source(FLOW.client, FLOW.vip)
    assert over_tcp.from_client != FLOW.from_client
    assert over_tcp.ends == FLOW.ends
    assert over_tcp.route == FLOW.route


@pytest.mark.parametrize("name", PARTS)
def test_one_part_can_be_another(name: str) -> None:
    other = OTHERS.get(name, Endpoint("203.0.113.9", 9))
    changed = FLOW._replace(**{name: other})
    assert changed != FLOW
    assert {part: getattr(changed, part) for part in PARTS} == PARTS | {name: other}


def test_it_is_one_small_object() -> None:
    assert sys.getsizeof(FLOW) <= 144  # as objects of their own the parts take some 500
    assert not hasattr(FLOW, "__dict__")


def test_people_can_read_it() -> None:
    assert repr(FLOW).startswith(
        "FlowTuple(198.51.100.7:40000, [2001:db8:1::10]:3478, 192.0.2.1:20417, "
        "[2001:db8:2::2]:5000, 000102"
    )
