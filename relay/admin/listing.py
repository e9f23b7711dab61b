"""The list of flows that people and programs see: the table's and the dataplane's view in one."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from relay.core.flow import Flow, State
from relay.core.flowtuple import FlowTuple
from relay.dataplane.flowrecord import Activity, FlowRecord
from relay.wire.route import decode

PIECE = 100  # flows, which take some milliseconds


def list_flows(
    flows: Iterable[Flow],
    record_of: Callable[[FlowTuple], FlowRecord],
    clock: Callable[[], float],
) -> Iterator[list[dict[str, Any]]]:
    """Flows of the table, with what the dataplane counted of them, in pieces of moderate size.

    Each flow has the keys client, transport (udp or tcp), vip, upstream, transceiver, target,
    state, to_transceiver and to_client (each with packets and bytes of the kernel and of userspace,
    and their sums) and idle_seconds, since the last packet of either side.

    Args:
        flows: The session table's flows.
        record_of: Gives the dataplane's record of one.
        clock: Seconds of the monotonic clock.
    """
    flows = iter(flows)
    while piece := [
        _listed(flow, _record(flow, record_of), clock()) for flow in islice(flows, PIECE)
    ]:
        yield piece


def _record(flow: Flow, record_of: Callable[[FlowTuple], FlowRecord]) -> FlowRecord:
    # The dataplane would take a connection's addresses for those of a client over UDP.
    return FlowRecord(flow.addresses) if flow.is_connection else record_of(flow.addresses)


def list_record(record: FlowRecord, now: float) -> dict[str, Any]:
    """The same where no agent runs: what the pinned maps hold of a flow."""
    return _addresses(record.flow) | {
        "state": State.CONFIRMED.value,
        "to_transceiver": _direction(record.to_transceiver),
        "to_client": _direction(record.to_client),
        "idle_seconds": _idle(now, record.to_transceiver.last_seen, record.to_client.last_seen),
    }


def _listed(flow: Flow, kernel: FlowRecord, now: float) -> dict[str, Any]:
    inward, outward = kernel.to_transceiver, kernel.to_client
    return _addresses(flow.addresses) | {
        "state": flow.state.value,
        "to_transceiver": _direction(
            inward, flow.packets_to_transceiver, flow.bytes_to_transceiver
        ),
        "to_client": _direction(outward, flow.packets_to_client, flow.bytes_to_client),
        "idle_seconds": _idle(
            now,
            flow.last_from_client,
            flow.last_from_transceiver,
            inward.last_seen,
            outward.last_seen,
        ),
    }


def _addresses(flow: FlowTuple) -> dict[str, Any]:
    return {
        "client": str(flow.client),
        "transport": flow.transport.value,
        "vip": str(flow.vip),
        "upstream": str(flow.upstream),
        "transceiver": str(flow.transceiver),
        "target": str(decode(flow.route).target),
    }


def _direction(
    kernel: Activity, userspace_packets: int = 0, userspace_bytes: int = 0
) -> dict[str, int]:
    return {
        "packets": kernel.packets + userspace_packets,
        "bytes": kernel.bytes + userspace_bytes,
        "kernel_packets": kernel.packets,
        "userspace_packets": userspace_packets,
    }


def _idle(now: float, *seen: float) -> float | None:
    latest = max(seen)
    return round(max(0.0, now - latest), 3) if latest else None
