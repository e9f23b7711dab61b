"""Flows move from a steered socket to their own; tests/netns/test_unload.py has the program."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from relay.forwarding.steered import SteeredSocket
from relay.forwarding.udp import bind_udp
from relay.forwarding.unsteered import UnsteeredUpstreams
from relay.wire.endpoint import Endpoint
from tests.relay.conftest import eventually
from tests.relay.forwarding.test_upstreams import Sides, received
from tests.relay.forwarding.tos import CE, EF, receive, send

pytestmark = pytest.mark.netns  # raw sockets


class Moving:
    """Both kinds of sockets, with a flow that only the steered one has."""

    def __init__(self, sides: Sides) -> None:
        self.sides = sides
        self.steered = SteeredSocket(
            ["127.0.0.1"],
            range(1024, 65_536),
            asyncio.get_running_loop(),
            sides.counters,
            outbox=sides.fast.outbox,
            received=lambda *_: None,
        )
        self.both = UnsteeredUpstreams(self.steered, sides.upstreams)
        self.flow = sides.flow()
        self.steered.open(self.flow)


@pytest_asyncio.fixture
async def moving() -> AsyncIterator[Moving]:
    sides = Sides()
    made = Moving(sides)
    yield made
    made.steered.shutdown()
    sides.close()


async def test_a_flow_is_heard_at_its_own_socket_when_it_has_moved(moving: Moving) -> None:
    moving.both.send(moving.flow, b"by the steered one", 0)
    assert await received(moving.sides.transceiver) == b"by the steered one"
    assert moving.both.move(moving.flow)
    assert moving.both.move(moving.flow)
    moving.both.send(moving.flow, b"by its own", CE)
    assert receive(moving.sides.transceiver) == (b"by its own", CE)
    send(moving.sides.transceiver, b"answer", EF, moving.flow.addresses.upstream)
    heard = [(moving.flow, b"answer", EF)]
    await eventually(lambda: moving.sides.received == heard, "the answer is received")
    assert moving.both.find(moving.flow.addresses.upstream) is moving.flow


async def test_a_flow_that_has_ended_meanwhile_gets_no_socket(moving: Moving) -> None:
    moving.both.close(moving.flow)
    assert moving.both.move(moving.flow)
    assert not moving.sides.upstreams.has(moving.flow)
    assert moving.both.find(moving.flow.addresses.upstream) is None


async def test_a_port_of_another_process_is_told(moving: Moving) -> None:
    with bind_udp(moving.flow.addresses.upstream):
        assert not moving.both.move(moving.flow)
    there = Endpoint("192.0.2.1", 20_000)
    assert moving.both.find(there) is None


async def test_a_new_flow_has_its_own_at_once(moving: Moving) -> None:
    flow = moving.sides.flow()
    assert moving.both.open(flow)
    assert moving.sides.upstreams.has(flow)
    assert moving.both.find(flow.addresses.upstream) is flow
