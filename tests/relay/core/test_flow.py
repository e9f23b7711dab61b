"""Flows of the table, which are many, and commands, which tests and loops compare by value."""

import sys

from relay.core.flow import (
    NEVER,
    Alarm,
    CloseUpstream,
    Command,
    Flow,
    Install,
    Recall,
    SendToClient,
    SendToTransceiver,
    State,
)
from relay.core.flowtuple import FlowTuple, Source
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from tests.relay.conftest import ALICE, RTP, VIP

KEYS = KeyRing({0: bytes(32)}, signing_slot=0)
TARGET = Target(7, 42, 3)


def flow() -> Flow:
    route = mint(TARGET, KEYS, now=0, lifetime=60, nonce=bytes(4)).raw
    upstream, transceiver = Endpoint("192.0.2.1", 20_000), Endpoint("192.0.2.2", 5000)
    return Flow(FlowTuple(ALICE, VIP, upstream, transceiver, route), State.PENDING, 1.0, 2.0)


def test_its_route_says_who_it_leads_to() -> None:
    assert flow().target == TARGET


def test_a_new_flow_has_carried_nothing_and_was_never_stored() -> None:
    new = flow()
    assert new.packets_to_transceiver == new.bytes_to_transceiver == 0
    assert new.packets_to_client == new.bytes_to_client == 0
    assert new.transactions == ()
    assert new.stored_at == NEVER < 0.0  # a clock may start at 0, and it is due then, too


def test_two_flows_of_the_same_addresses_are_two() -> None:
    """One that is being replaced and its successor must never be taken for each other."""
    first, second = flow(), flow()
    assert first != second
    assert len({first, second}) == 2
    assert Install(first) != Install(second)


def test_a_flow_is_two_small_objects() -> None:
    assert not hasattr(flow(), "__dict__")
    assert sys.getsizeof(flow()) + sys.getsizeof(flow().addresses) <= 304


def test_commands_are_told_apart_by_kind_and_by_what_they_carry() -> None:
    one = flow()
    apart: list[Command] = [
        SendToClient(one, RTP),
        SendToClient(one, RTP[:-1]),
        SendToTransceiver(one, RTP),
        CloseUpstream(one),
        Install(one),
        Recall(Source(ALICE, VIP), RTP),
        Recall(Source(VIP, ALICE), RTP),
        Recall(Source(ALICE, VIP), RTP[:-1]),
        Alarm("full"),
    ]
    assert len(set(apart)) == len(apart)
    assert apart[0] == SendToClient(one, RTP)
