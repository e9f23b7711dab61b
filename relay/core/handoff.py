"""What an agent tells its successor of its flows, and how that one goes on with them.

Both run on one host, and share its monotonic clock: times mean the same to both.
"""

from collections.abc import Container, Iterable, Iterator
from typing import Any

from relay.core.flow import Flow, Instant, State
from relay.core.flows import Flows
from relay.core.flowtuple import FlowTuple
from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.transport import Transport

# Of what is written here. Whoever changes that, or what it means, takes the next number.
LAYOUT = 2

Written = list[Any]  # as JSON can hold it


def write(flow: Flow, *, answered: bool) -> Written:
    """A flow.

    Args:
        flow: The flow.
        answered: Whether a transceiver has answered it, if it is pending.
    """
    return [
        flow.addresses.hex(),
        flow.state.value,
        [each.hex() for each in flow.transactions],
        [flow.last_from_client, flow.last_from_transceiver, flow.stored_at, flow.ends_at],
        [flow.packets_to_transceiver, flow.bytes_to_transceiver],
        [flow.packets_to_client, flow.bytes_to_client],
        [flow.epoch, flow.claimed, *flow.opened],
        _written(flow.introduced),
        answered,
    ]


def read(written: Written) -> tuple[Flow, bool]:
    """The same, of what `write` has written.

    Raises:
        ValueError: It is something else.
        TypeError: Likewise.
    """
    addresses, state, transactions, times, to_transceiver, to_client, *others = written
    owned, introduced, answered = others
    from_client, from_transceiver, stored_at, ends_at = times
    epoch, claimed, *opened = owned
    flow = Flow(FlowTuple.of(bytes.fromhex(addresses)), State(state), from_client, from_transceiver)
    flow.transactions = tuple(map(bytes.fromhex, transactions))
    flow.packets_to_transceiver, flow.bytes_to_transceiver = to_transceiver
    flow.packets_to_client, flow.bytes_to_client = to_client
    flow.stored_at, flow.ends_at = stored_at, ends_at
    flow.epoch, flow.claimed, flow.opened = epoch, claimed, Instant(*opened)
    flow.introduced = _introduced(introduced, flow.addresses)
    return flow, answered


def _written(said: Announcement | None) -> Written | None:
    if said is None:
        return None
    return [said.client.packed.hex(), said.vip.packed.hex(), said.time, said.transport, said.epoch]


def _introduced(written: Written | None, flow: FlowTuple) -> Announcement | None:
    if written is None:
        return None
    client, vip, time, transport, epoch = written
    return Announcement(
        client=Endpoint.unpack(bytes.fromhex(client)),
        vip=Endpoint.unpack(bytes.fromhex(vip)),
        upstream=flow.client,
        route=flow.route,
        time=time,
        transport=Transport(transport),
        epoch=epoch,
    )


class Handoff:
    """The flows of a session table, as its agent hands them to a successor, or takes them.

    Args:
        flows: The flows.
        vips: The public addresses served here.
    """

    def __init__(self, flows: Flows, vips: Container[Endpoint]) -> None:
        self._flows = flows
        self._vips = vips

    def flows(self, *, adopted: bool) -> Iterator[tuple[Flow, Written]]:
        """All flows that are awake, each as it is written.

        Args:
            adopted: Whether the successor adopts those that the dataplane has. Of those, it is only
                told what an edge has said of their clients.
        """
        for flow in self._flows.confirmed:
            in_dataplane = not (flow.is_connection or flow.has_ended)
            if not (adopted and in_dataplane) or flow.introduced is not None:
                yield flow, write(flow, answered=True)
        for flow in self._flows.pending:
            yield flow, write(flow, answered=not self._flows.pending.is_unanswered(flow))

    def take(self, written: Written) -> Flow | None:
        """Go on with a flow; None if it is none of this relay's any more, or has no room.

        None, too, if it was adopted before: what an edge has said of its client is noted then.

        Raises:
            ValueError: It is not one that `write` has written.
            TypeError: Likewise.
        """
        flow, answered = read(written)
        parts = flow.addresses
        is_confirmed = flow.state is State.CONFIRMED
        if is_confirmed and flow.introduced is not None and self._flows.confirmed.holds(flow):
            self._introduce(flow, flow.introduced)
            return None
        if (
            parts.vip not in self._vips
            or (is_confirmed and self._flows.confirmed.full)
            or (is_confirmed and self._flows.confirmed.has(parts.from_client))
            or not self._flows.ports.claim(flow)
        ):
            self._flows.counters["not_taken_over"] += 1
            return None
        self._flows.counters["inherited"] += 1
        if is_confirmed:
            self._flows.confirmed.put(flow)
            self._flows.introductions.confirmed(flow)
            return flow
        self._flows.pending.add(flow)
        if answered:
            self._flows.pending.answered(flow)
        return flow

    def _introduce(self, handed: Flow, said: Announcement) -> None:
        flow = self._flows.confirmed.get(handed.addresses.from_client)
        if flow is not None:
            flow.epoch, flow.claimed = handed.epoch, handed.claimed
            self._flows.introductions.note(flow, said)

    def resting(self) -> list[tuple[str, float]]:
        """The upstream addresses that rest, and until when, in seconds of the monotonic clock."""
        return [(upstream.hex(), until) for upstream, until in self._flows.ports.resting()]

    def let_rest(self, resting: Iterable[tuple[str, float]]) -> None:
        """Let them go on resting.

        Raises:
            ValueError: They are not what `resting` gives.
            TypeError: Likewise.
        """
        for upstream, until in resting:
            self._flows.ports.let_rest(bytes.fromhex(upstream), until)
