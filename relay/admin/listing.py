"""The list of flows that people and programs see: the table's and the dataplane's view in one."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from relay.admin.flowentry import FlowEntry
from relay.core.flow import Flow
from relay.core.flowtuple import FlowTuple
from relay.dataplane.flowrecord import FlowRecord

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
    while piece := [entry_of(flow, record_of).as_json(clock()) for flow in islice(flows, PIECE)]:
        yield piece


def list_record(record: FlowRecord, now: float) -> dict[str, Any]:
    """The same where no agent runs: what the pinned maps hold of a flow."""
    return FlowEntry.of_record(record).as_json(now)


def entry_of(flow: Flow, record_of: Callable[[FlowTuple], FlowRecord]) -> FlowEntry:
    """A flow of the table, with what the dataplane counted of it."""
    # The dataplane would take a connection's addresses for those of a client over UDP.
    addresses = flow.addresses
    return FlowEntry.of(flow, FlowRecord(addresses) if flow.is_connection else record_of(addresses))
