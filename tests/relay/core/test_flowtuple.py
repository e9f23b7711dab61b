"""What a dataplane is told of a flow: packed, because there are very many."""

import sys
from typing import Any

import pytest

from relay.core.flowtuple import FlowTuple
from relay.wire.endpoint import Endpoint

PARTS: dict[str, Any] = {
    "client": Endpoint("198.51.100.7", 40000),
    "vip": Endpoint("2001:db8:1::10", 3478),
    "upstream": Endpoint("192.0.2.1", 20417),
    "transceiver": Endpoint("2001:db8:2::2", 5000),
    "route": bytes(range(21)),
}
FLOW = FlowTuple(**PARTS)


def test_it_gives_back_what_it_was_made_of() -> None:
    assert {name: getattr(FLOW, name) for name in PARTS} == PARTS


def test_its_packed_parts_make_the_same() -> None:
    packed = [part.packed if isinstance(part, Endpoint) else part for part in PARTS.values()]
    assert FlowTuple.of(*packed) == FLOW
    assert FlowTuple.of(*packed).upstream == PARTS["upstream"]


def test_client_and_vip_tell_what_clients_send_into_apart() -> None:
    moved = FLOW._replace(upstream=PARTS["transceiver"], transceiver=PARTS["upstream"])
    assert moved.from_client == FLOW.from_client == FLOW.client.packed + FLOW.vip.packed
    assert FLOW._replace(client=PARTS["vip"]).from_client != FLOW.from_client


@pytest.mark.parametrize("name", PARTS)
def test_one_part_can_be_another(name: str) -> None:
    other = bytes(21) if name == "route" else Endpoint("203.0.113.9", 9)
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
