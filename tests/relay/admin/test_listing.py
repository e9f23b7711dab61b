from typing import Any

import pytest

from relay.admin.listing import PIECE, list_flows, list_record
from relay.core.flow import Flow, State
from relay.core.flowtuple import FlowTuple
from relay.dataplane.flowrecord import Activity, FlowRecord
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from relay.wire.transport import Transport

TARGET = Target(1, 20, 3)
KEYS = KeyRing({0: bytes(32)}, signing_slot=0)
TUPLE = FlowTuple(
    client=Endpoint("2001:db8::2", 40000),
    vip=Endpoint("2001:db8::10", 3478),
    upstream=Endpoint("192.0.2.1", 20417),
    transceiver=Endpoint("192.0.2.2", 5000),
    route=mint(TARGET, KEYS, now=0, lifetime=60, nonce=bytes(4)).raw,
)
ADDRESSES = {
    "client": "[2001:db8::2]:40000",
    "transport": "udp",
    "vip": "[2001:db8::10]:3478",
    "upstream": "192.0.2.1:20417",
    "transceiver": "192.0.2.2:5000",
    "target": "1/20.3",
}
NOW = 1000.0


def flow(from_client: float = 990.0, from_transceiver: float = 0.0) -> Flow:
    return Flow(
        addresses=TUPLE,
        state=State.CONFIRMED,
        last_from_client=from_client,
        last_from_transceiver=from_transceiver,
        packets_to_transceiver=3,
        bytes_to_transceiver=300,
        packets_to_client=1,
        bytes_to_client=50,
    )


def record(parts: FlowTuple = TUPLE, inward: float = 0.0, outward: float = 0.0) -> FlowRecord:
    return FlowRecord(parts, Activity(1000, 160_000, inward), Activity(900, 150_000, outward))


def listed(flow: Flow, kernel: FlowRecord | None = None) -> dict[str, Any]:
    """The one flow of a table, of which the dataplane has this record or none."""

    def record_of(asked: FlowTuple) -> FlowRecord:
        assert asked == flow.addresses
        return kernel or FlowRecord(asked)

    ((found,),) = list_flows([flow], record_of, lambda: NOW)
    return found


def packets(kernel: int, userspace: int, size: int) -> dict[str, int]:
    return {
        "packets": kernel + userspace,
        "bytes": size,
        "kernel_packets": kernel,
        "userspace_packets": userspace,
    }


def test_a_connection_is_not_taken_for_the_dataplanes_flow_of_the_same_address() -> None:
    connection = flow()
    connection.addresses = TUPLE._replace(transport=Transport.TCP)
    seen = listed(connection, record())
    assert seen["transport"] == "tcp"
    assert seen["to_transceiver"] == packets(0, 3, 300)


def test_a_flow_of_the_table_alone() -> None:
    assert listed(flow()) == ADDRESSES | {
        "state": "confirmed",
        "to_transceiver": packets(0, 3, 300),
        "to_client": packets(0, 1, 50),
        "idle_seconds": 10.0,
    }


def test_a_flow_with_what_the_kernel_forwarded_of_it() -> None:
    found = listed(flow(), record(outward=999.5))
    assert found["to_transceiver"] == packets(1000, 3, 160_300)
    assert found["to_client"] == packets(900, 1, 150_050)
    assert found["idle_seconds"] == 0.5


def test_many_flows_come_in_pieces_in_their_order() -> None:
    flows = [flow(from_client=NOW - number) for number in range(2 * PIECE + 1)]
    pieces = list(list_flows(flows, FlowRecord, lambda: NOW))
    assert [len(piece) for piece in pieces] == [PIECE, PIECE, 1]
    assert [each["idle_seconds"] for piece in pieces for each in piece] == [
        float(number) for number in range(2 * PIECE + 1)
    ]


@pytest.mark.parametrize(
    ("found", "idle"),
    [
        (listed(flow(990.0, 995.25)), 4.75),
        (listed(flow(995.25, 990.0)), 4.75),
        (listed(flow(990.0), record(inward=999.0)), 1.0),
        (listed(flow(990.0), record(inward=1000.1)), 0.0),
        (list_record(record(inward=997.0, outward=999.0), NOW), 1.0),
        (list_record(record(), NOW), None),
    ],
    ids=["transceiver", "client", "kernel", "read just after", "no agent", "never"],
)
def test_idle_is_since_the_last_packet_of_either_side(
    found: dict[str, Any], idle: float | None
) -> None:
    assert found["idle_seconds"] == idle


def test_a_pending_flow_is_called_so() -> None:
    pending = flow()
    pending.state = State.PENDING
    assert listed(pending)["state"] == "pending"


def test_records_alone_make_the_same_list() -> None:
    with_agent = listed(flow(), record(inward=999.0))
    without = list_record(record(inward=999.0), NOW)
    assert without.keys() == with_agent.keys()
    assert without == ADDRESSES | {
        "state": "confirmed",
        "to_transceiver": packets(1000, 0, 160_000),
        "to_client": packets(900, 0, 150_000),
        "idle_seconds": 1.0,
    }
