"""A flow as a dataplane holds it: its addresses, and what passed in each direction."""

from typing import NamedTuple

from relay.core.flowtuple import FlowTuple


class Activity(NamedTuple):
    """What passed in one direction of a flow.

    Attributes:
        packets: Packets forwarded.
        bytes: Bytes forwarded, UDP payload only.
        last_seen: When the last one passed, in seconds of the monotonic clock; 0.0 means never.
    """

    packets: int = 0
    bytes: int = 0
    last_seen: float = 0.0


class FlowRecord(NamedTuple):
    """A flow with what passed in each direction."""

    flow: FlowTuple
    to_transceiver: Activity = Activity()
    to_client: Activity = Activity()
