"""The list of flows that people and programs see: the table's and the dataplane's view in one."""

from collections.abc import Iterable, Mapping
from typing import Any

from relay.dataplane.base import Activity, FlowRecord
from relay.flow import Flow, State
from relay.wire.endpoint import Endpoint
from relay.wire.route import decode

NO_ACTIVITY = Activity()


def list_flows(
    flows: Iterable[Flow], records: Iterable[FlowRecord], now: float
) -> list[dict[str, Any]]:
    """Flows of the table, with what the dataplane counted of them.

    Each has the keys client, vip, upstream, transceiver, target, state, to_transceiver and
    to_client (each with packets and bytes of the kernel and of userspace, and their sums) and
    idle_seconds, since the last packet of either side.

    Args:
        flows: The session table's flows.
        records: The dataplane's.
        now: Seconds of the monotonic clock.
    """
    kernel = {_key(record): record for record in records}
    listed = []
    for flow in flows:
        parts = flow.addresses
        record = kernel.get((parts.client, parts.vip, parts.upstream))
        inward = record.to_transceiver if record else NO_ACTIVITY
        outward = record.to_client if record else NO_ACTIVITY
        listed.append(
            _addresses(parts.client, parts.vip, parts.upstream, parts.transceiver, parts.route)
            | {
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
        )
    return listed


def list_records(records: Iterable[FlowRecord], now: float) -> list[dict[str, Any]]:
    """The same list where no agent runs: what the pinned maps hold."""
    return [
        _addresses(
            record.flow.client,
            record.flow.vip,
            record.flow.upstream,
            record.flow.transceiver,
            record.flow.route,
        )
        | {
            "state": State.CONFIRMED.value,
            "to_transceiver": _direction(record.to_transceiver),
            "to_client": _direction(record.to_client),
            "idle_seconds": _idle(now, record.to_transceiver.last_seen, record.to_client.last_seen),
        }
        for record in records
    ]


def _key(record: FlowRecord) -> tuple[Endpoint, Endpoint, Endpoint]:
    return record.flow.client, record.flow.vip, record.flow.upstream


def _addresses(
    client: Endpoint, vip: Endpoint, upstream: Endpoint, transceiver: Endpoint, route: bytes
) -> dict[str, Any]:
    return {
        "client": str(client),
        "vip": str(vip),
        "upstream": str(upstream),
        "transceiver": str(transceiver),
        "target": str(decode(route).target),
    }


def _direction(
    kernel: Activity, userspace_packets: int = 0, userspace_bytes: int = 0
) -> Mapping[str, int]:
    return {
        "packets": kernel.packets + userspace_packets,
        "bytes": kernel.bytes + userspace_bytes,
        "kernel_packets": kernel.packets,
        "userspace_packets": userspace_packets,
    }


def _idle(now: float, *seen: float) -> float | None:
    latest = max(seen)
    return round(max(0.0, now - latest), 3) if latest else None
