"""Flows that leave a steered socket for sockets of their own, while they go on."""

from relay.core.flow import Flow
from relay.errors import BindError
from relay.forwarding.upstreams import PerFlowSockets, Upstreams
from relay.wire.endpoint import Endpoint


class UnsteeredUpstreams:
    """Sockets of their own for all flows, and the steered ones for what has not moved yet.

    While the steering program runs, it comes before a flow's own socket; from its end on that has
    what comes, and nothing is lost in between.

    Args:
        steered: What has had all flows.
        own: What is to have them.
    """

    def __init__(self, steered: Upstreams, own: PerFlowSockets) -> None:
        self._steered = steered
        self._own = own

    def listen(self) -> None:
        """See `Upstreams.listen`; the steered ones do already."""
        self._own.listen()

    def move(self, flow: Flow) -> bool:
        """Open a flow's own socket; one that has ended meanwhile, or has moved, is fine.

        Returns:
            Whether that was possible.
        """
        if self._own.has(flow) or self._steered.find(flow.addresses.upstream) is not flow:
            return True
        try:
            return self._own.open(flow)
        except BindError:
            return False

    def open(self, flow: Flow) -> bool:
        """See `Upstreams.open`."""
        return self._own.open(flow) and self._steered.open(flow)

    def confirm(self, flow: Flow) -> None:
        """See `Upstreams.confirm`."""
        self._own.confirm(flow)

    def close(self, flow: Flow) -> None:
        """See `Upstreams.close`."""
        self._own.close(flow)
        self._steered.close(flow)

    def find(self, upstream: Endpoint) -> Flow | None:
        """See `Upstreams.find`."""
        return self._steered.find(upstream)

    def send(self, flow: Flow, data: bytes, tos: int) -> None:
        """See `Upstreams.send`."""
        (self._own if self._own.has(flow) else self._steered).send(flow, data, tos)

    def shutdown(self) -> None:
        """See `Upstreams.shutdown`."""
        self._own.shutdown()
        self._steered.shutdown()
