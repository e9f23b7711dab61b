"""The two ends of all flows: towards clients over UDP or TCP, and towards transceivers."""

from collections.abc import Mapping

from relay.core.flow import Flow
from relay.forwarding.connections import ClientConnections
from relay.forwarding.upstreams import Upstreams
from relay.forwarding.vips import VipSockets
from relay.wire.endpoint import Endpoint
from relay.wire.transport import Transport


class Ends:
    """The sockets of an agent, as its flows see them.

    Args:
        vips: Towards clients over UDP.
        connections: Towards clients over TCP.
        upstreams: Towards transceivers, by the client's transport.
    """

    def __init__(
        self,
        vips: VipSockets,
        connections: ClientConnections,
        upstreams: Mapping[Transport, Upstreams],
    ) -> None:
        self._vips = vips
        self._connections = connections
        self._over_udp, self._over_tcp = upstreams[Transport.UDP], upstreams[Transport.TCP]

    def replace_upstreams(self, over_udp: Upstreams) -> None:
        """Use another way towards the transceivers of clients over UDP; it has their flows."""
        self._over_udp = over_udp

    def listen(self) -> None:
        """Take what is sent from now on."""
        for upstreams in {id(each): each for each in (self._over_udp, self._over_tcp)}.values():
            upstreams.listen()
        self._vips.listen()
        self._connections.listen()

    def open(self, flow: Flow) -> bool:
        """Make ready for a flow; False when another process has its upstream port.

        Raises:
            BindError: As `Upstreams.open`.
        """
        opened = self._of(flow).open(flow)
        if opened and flow.is_connection:
            self._connections.attach(flow)
        return opened

    def confirm(self, flow: Flow) -> None:
        """See `Upstreams.confirm`."""
        self._of(flow).confirm(flow)

    def close(self, flow: Flow) -> None:
        """Be done with a flow, and with its client's connection if that has no other."""
        self._of(flow).close(flow)
        if flow.is_connection:
            self._connections.detach(flow)

    def send_to_transceiver(self, flow: Flow, data: bytes, tos: int) -> None:
        """See `Upstreams.send`."""
        self._of(flow).send(flow, data, tos)

    def send_to_client(self, flow: Flow, data: bytes, tos: int) -> None:
        """Send a datagram from the flow's VIP, or in a frame on its connection, which has none."""
        if flow.addresses.is_connection:
            self._connections.send(flow, data)
        else:
            self._vips.send(flow.addresses, data, tos)

    def flush(self) -> None:
        """Send now what waits for the end of a batch."""
        self._vips.flush()

    def find_upstream(self, address: Endpoint) -> Flow | None:
        """The flow of a client over UDP that is open at an upstream address."""
        flow = self._over_udp.find(address)
        return None if flow is None or flow.is_connection else flow

    def _of(self, flow: Flow) -> Upstreams:
        return self._over_tcp if flow.addresses.is_connection else self._over_udp
