"""A flow as people are shown it: what the table and the dataplane know of it, in one; pure.

There may be a hundred thousand: addresses stay packed until somebody asks for text.
"""

import base64
import hashlib
from collections.abc import Sequence
from math import inf
from typing import Any, NamedTuple, Self

from relay.admin.oneway import heard_alone
from relay.core.flow import Flow, State
from relay.core.flowtuple import FlowTuple
from relay.dataplane.flowrecord import Activity, FlowRecord
from relay.wire.route import decode

_ID_SIZE = 6  # bytes: among a hundred thousand flows two share an id once in 50,000 relays
_STATES = tuple(State)
_NONE = Activity()


class FlowEntry(NamedTuple):
    """A flow, and what passed of it. Moments are seconds of this host's monotonic clock; 0: never.

    Attributes:
        addresses: Its addresses and route.
        state: Pending or confirmed.
        kernel_in: What the dataplane forwarded to the transceiver.
        kernel_out: The same to the client.
        agent_in: What the agent itself forwarded to the transceiver; `last_seen` is when it last
            heard the client, or began to wait for it.
        agent_out: The same to the client.
        opened: When the agent got to know it; 0.0 where no agent tells.
        ends: Whether its transceiver has said goodbye: the kernel forwards it no more, and has no
            counts of it; for a while it lives on in the agent.
    """

    addresses: FlowTuple
    state: State
    kernel_in: Activity = _NONE
    kernel_out: Activity = _NONE
    agent_in: Activity = _NONE
    agent_out: Activity = _NONE
    opened: float = 0.0
    ends: bool = False

    @classmethod
    def of(cls, flow: Flow, kernel: FlowRecord) -> Self:
        """A flow of the table, with the dataplane's record of it."""
        return cls(
            flow.addresses,
            flow.state,
            kernel.to_transceiver,
            kernel.to_client,
            Activity(flow.packets_to_transceiver, flow.bytes_to_transceiver, flow.last_from_client),
            Activity(flow.packets_to_client, flow.bytes_to_client, flow.last_from_transceiver),
            flow.opened.monotonic,
            flow.has_ended,
        )

    @classmethod
    def of_record(cls, record: FlowRecord) -> Self:
        """What the pinned maps alone know of a flow."""
        return cls(record.flow, State.CONFIRMED, record.to_transceiver, record.to_client)

    @classmethod
    def from_wire(cls, fields: Sequence[Any]) -> Self:
        """Read what `as_wire` writes.

        Raises:
            ValueError: It is something else.
            TypeError: Likewise.
        """
        text, state, opened, *counted = fields
        return cls(
            unpacked(text),
            _STATES[state],
            Activity(*counted[0:3]),
            Activity(*counted[3:6]),
            Activity(*counted[6:9]),
            Activity(*counted[9:12]),
            opened,
            any(counted[12:]),  # an older agent does not tell
        )

    def as_wire(self) -> list[Any]:
        """It in JSON, as an agent tells it: short, and soon made."""
        return [
            packed(self.addresses),
            _STATES.index(self.state),
            self.opened,
            *self.kernel_in,
            *self.kernel_out,
            *self.agent_in,
            *self.agent_out,
            int(self.ends),
        ]

    @property
    def stage(self) -> str:
        """How far it has come, in a word: pending, confirmed, or ending."""
        return "ending" if self.ends else self.state.value

    @property
    def packets(self) -> tuple[int, int]:
        """Packets to the transceiver and to the client."""
        return (
            self.kernel_in.packets + self.agent_in.packets,
            self.kernel_out.packets + self.agent_out.packets,
        )

    @property
    def bytes(self) -> tuple[int, int]:
        """Bytes of UDP payload to the transceiver and to the client."""
        return (
            self.kernel_in.bytes + self.agent_in.bytes,
            self.kernel_out.bytes + self.agent_out.bytes,
        )

    @property
    def heard(self) -> tuple[float, float]:
        """When the client last sent something, and when the transceiver did."""
        return (
            _heard(self.kernel_in, self.agent_in),
            _heard(self.kernel_out, self.agent_out),
        )

    def one_way(self, now: float) -> str | None:
        """Which side alone is heard, see `heard_alone`; None of a pending flow."""
        if self.state is not State.CONFIRMED:
            return None
        client, transceiver = (now - at if at else inf for at in self.heard)
        return heard_alone(client, transceiver)

    @property
    def id(self) -> str:
        """12 hex digits that stand for this very flow, with an agent or without."""
        return id_of(self.addresses)

    def idle(self, now: float) -> float | None:
        """Seconds since the last packet of either side; None: there was none."""
        activities = self.kernel_in, self.kernel_out, self.agent_in, self.agent_out
        latest = max(each.last_seen for each in activities)
        return round(max(0.0, now - latest), 3) if latest else None

    def age(self, now: float) -> float | None:
        """Seconds since the agent got to know it; None where no agent tells."""
        return round(max(0.0, now - self.opened), 3) if self.opened else None

    def as_json(self, now: float) -> dict[str, Any]:
        """It for programs; see `relay.admin.listing.list_flows`."""
        flow = self.addresses
        return {
            "client": str(flow.client),
            "transport": flow.transport.value,
            "vip": str(flow.vip),
            "upstream": str(flow.upstream),
            "transceiver": str(flow.transceiver),
            "target": str(decode(flow.route).target),
            "state": self.stage,
            "to_transceiver": _direction(self.kernel_in, self.agent_in),
            "to_client": _direction(self.kernel_out, self.agent_out),
            "idle_seconds": self.idle(now),
        }


def id_of(addresses: FlowTuple) -> str:
    """See `FlowEntry.id`."""
    return hashlib.blake2b(addresses, digest_size=_ID_SIZE).hexdigest()


def packed(addresses: FlowTuple) -> str:
    """A flow's addresses as text that JSON takes; `unpacked` reads it."""
    return base64.b64encode(addresses).decode("ascii")


def unpacked(text: str) -> FlowTuple:
    """Read what `packed` writes.

    Raises:
        ValueError: It is no base64.
    """
    return FlowTuple.of(base64.b64decode(text, validate=True))


def _heard(kernel: Activity, agent: Activity) -> float:
    # The agent's moment without a packet is when it began to wait.
    return max(kernel.last_seen, agent.last_seen if agent.packets else 0.0)


def _direction(kernel: Activity, agent: Activity) -> dict[str, int]:
    return {
        "packets": kernel.packets + agent.packets,
        "bytes": kernel.bytes + agent.bytes,
        "kernel_packets": kernel.packets,
        "userspace_packets": agent.packets,
    }
