"""Who is told of what an agent's sockets receive."""

from typing import Protocol

from relay.core.flow import Flow
from relay.core.flowtuple import Source
from relay.supervision import Faults


class Receiver(Protocol):
    """Who is told of what the sockets receive: the agent."""

    def from_client(self, data: bytes, source: Source, tos: int = 0) -> None:
        """A client has sent a datagram, with this DSCP and ECN; a connection has none."""

    def from_transceiver(self, flow: Flow, data: bytes, tos: int) -> None:
        """The transceiver of a flow has sent a datagram, with this DSCP and ECN."""

    def at_upstream(self, upstream: bytes) -> Flow | None:
        """The flow at an upstream address, packed, that has not been opened."""

    def disconnected(self, flow: Flow) -> None:
        """The connection of a flow's client has ended."""


class Guarded:
    """The same receiver, of which nothing that it raises costs more than one datagram.

    Datagrams are read in batches: an exception would cost all that come after it in theirs.

    Args:
        receiver: The receiver.
        faults: Where it is noted what it raises.
    """

    def __init__(self, receiver: Receiver, faults: Faults) -> None:
        self._receiver = receiver
        self._faults = faults

    def from_client(self, data: bytes, source: Source, tos: int = 0) -> None:
        """See `Receiver.from_client`."""
        try:
            self._receiver.from_client(data, source, tos)
        except Exception as error:  # noqa: BLE001  # whatever it is
            self._faults.note("a client's datagram", error)

    def from_transceiver(self, flow: Flow, data: bytes, tos: int) -> None:
        """See `Receiver.from_transceiver`."""
        try:
            self._receiver.from_transceiver(flow, data, tos)
        except Exception as error:  # noqa: BLE001
            self._faults.note("a transceiver's datagram", error)

    def at_upstream(self, upstream: bytes) -> Flow | None:
        """See `Receiver.at_upstream`."""
        try:
            return self._receiver.at_upstream(upstream)
        except Exception as error:  # noqa: BLE001
            self._faults.note("a look for a flow", error)
            return None

    def disconnected(self, flow: Flow) -> None:
        """See `Receiver.disconnected`."""
        try:
            self._receiver.disconnected(flow)
        except Exception as error:  # noqa: BLE001
            self._faults.note("a connection's end", error)
