"""The kernel's flows as a viewer reads them, of real maps."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from relay.admin.busiest import Question
from relay.dataplane.kernel.flowtable import FlowTable
from relay.dataplane.kernel.memory import MappedArray
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.ticks import Ticks
from relay.top.kernelflows import KernelFlows
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target
from tests.relay.dataplane.loading import TRANSCEIVER, VIP, flow

pytestmark = pytest.mark.bpf
OTHER = Endpoint("192.0.2.3", 5000)
ROUTES = {n: bytes([0, *Target(1, n, 1).packed]) + bytes(14) for n in (1, 2, 3)}


class Clock:
    now = 0.0


@pytest.fixture
def seen(pins: Pins) -> Iterator[tuple[KernelFlows, Clock, FlowTable]]:
    """Three flows, the last of another transceiver, and who looks at them."""
    clock = Clock()
    clock.now = time.monotonic()
    with closing(FlowTable(pins)) as table:
        for number in (1, 2, 3):
            table.install(flow(number, ROUTES[number], OTHER if number == 3 else TRANSCEIVER))
        with closing(KernelFlows(pins.instance, lambda: clock.now)) as flows:
            yield flows, clock, table


def carry(table: FlowTable, pins: Pins, number: int, size: int, **ages: float) -> None:
    """Let a client's flow have sent a packet of so many bytes, and seen both sides so long ago."""
    position = table.position(flow(number).packed_upstream)
    assert position is not None
    ticks = Ticks.read(pins.ticks)
    with closing(MappedArray(pins.opened("flow_records"))) as memory:
        words = position * memory.stride // 4
        memory.longs[position * memory.stride // 8 + 3] += size
        memory.words[words + 10] = (memory.words[words + 10] + 1) & 0xFFFFFFFF
        for at, age in enumerate(ages.values()):
            memory.words[words + 14 + at] = ticks.at(time.monotonic() - age)


def clients(answer: dict[str, Any]) -> list[int]:
    return [Endpoint.parse(row["client"]).port for row in answer["flows"]]


def ask(flows: KernelFlows, **request: Any) -> dict[str, Any]:
    return flows.busiest(Question.parse(request))


def test_rates_are_those_between_two_looks(
    seen: tuple[KernelFlows, Clock, FlowTable], pins: Pins
) -> None:
    flows, clock, table = seen
    carry(table, pins, 2, 100)
    carry(table, pins, 3, 500)
    clock.now += 2.0
    flows.look()
    answer = ask(flows, limit=2)
    assert clients(answer) == [3, 2]
    assert answer["matching"] == 3
    assert answer["flows"][0]["to_transceiver"]["bit_rate"] == 2000
    assert answer["flows"][0]["to_transceiver"]["packet_rate"] == 0.5
    assert flows.totals() == {"flows": 3, "one_way": 0, "bit_rate": 2400.0}
    clock.now += 1.0
    flows.look()
    assert flows.totals()["bit_rate"] == 0.0


@pytest.mark.parametrize(
    ("sort", "first"),
    [("packets", 3), ("total", 3), ("idle", 1), ("client", 1), ("transceiver", 3)],
)
def test_each_order(
    seen: tuple[KernelFlows, Clock, FlowTable], pins: Pins, sort: str, first: int
) -> None:
    flows, clock, table = seen
    for number, idle in ((1, 300.0), (2, 60.0), (3, 0.0)):
        carry(table, pins, number, 100 * number, inward=idle, outward=idle)
    carry(table, pins, 3, 1)
    clock.now += 1.0
    flows.look()
    found = clients(ask(flows, sort=sort))
    if sort == "transceiver":
        assert found[-1] == first
    else:
        assert found[0] == first
        assert clients(ask(flows, sort=sort, reverse=True))[-1] == first
    assert len(found) == 3


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("198.51", {1, 2, 3}),
        ("198.51.100.7:2", {2}),
        ("198.52", set()),
        ("192.0.2.3:5000", {3}),
        ("1/2.1", {2}),
        ("1/2.1 192.0.2.3", set()),
        ("pending", set()),
        ("confirmed", {1, 2, 3}),
        ("2001:db8", set()),
    ],
)
def test_filters(seen: tuple[KernelFlows, Clock, FlowTable], text: str, found: set[int]) -> None:
    answer = ask(seen[0], filter=text)
    assert set(clients(answer)) == found
    assert answer["matching"] == len(found)


def test_flows_with_one_side_alone_are_found(
    seen: tuple[KernelFlows, Clock, FlowTable], pins: Pins
) -> None:
    flows, clock, table = seen
    carry(table, pins, 1, 1, inward=1.0, outward=1.0)
    carry(table, pins, 2, 1, inward=1.0, outward=20.0)
    clock.now = time.monotonic()
    flows.look()
    assert clients(ask(flows, filter="one-way")) == [2]
    assert flows.totals()["one_way"] == 1


def test_a_flow_that_is_asked_for_is_there(seen: tuple[KernelFlows, Clock, FlowTable]) -> None:
    flows, _, _ = seen
    asked = {"client": "198.51.100.7:2", "vip": str(VIP), "transport": "udp"}
    assert clients(ask(flows, limit=0, show=asked)) == [2]
    row = flows.row_at("192.0.2.1:20002")
    assert row is not None
    assert row["target"] == "1/2.1"
    assert row["to_client"]["next_hop"] is None
    assert row["to_client"]["idle_seconds"] is None
    assert flows.row_at("192.0.2.1:20009") is None
    assert flows.row_at("192.0.2.99:1") is None


def test_transceivers_are_added_up(seen: tuple[KernelFlows, Clock, FlowTable], pins: Pins) -> None:
    flows, clock, table = seen
    carry(table, pins, 1, 100)
    carry(table, pins, 2, 100)
    clock.now += 1.0
    flows.look()
    found = {each["transceiver"]: each for each in ask(flows, transceivers=True)["transceivers"]}
    assert found[str(TRANSCEIVER)]["flows"] == 2
    assert found[str(TRANSCEIVER)]["to_transceiver"] == {"packet_rate": 2.0, "bit_rate": 1600}
    assert found[str(OTHER)]["target"] == "1/3.1"
