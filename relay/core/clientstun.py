"""What a client's STUN message says, and whether it may open a flow; pure, as the table is."""

from typing import NamedTuple

from relay.wire import stun
from relay.wire.errors import RouteError, RouteFormatError, StunError
from relay.wire.keys import KeyRing
from relay.wire.route import Route, read_ufrag, verify


class ClientStun(NamedTuple):
    """What a client's datagram says, of which the first byte is STUN's.

    Attributes:
        route: The route in a Binding request, verified by nobody; None in anything else.
        transaction_id: The message's; empty where there is no route.
        fault: Why there is no route, as it is counted.
    """

    route: Route | None
    transaction_id: bytes = b""
    fault: str = ""

    def refusal(self, port: int, keys: KeyRing | None) -> str | None:
        """Why it opens no flow, as it is counted; None if it may.

        Args:
            port: The client's.
            keys: The cluster's; None for a cluster elsewhere, whose relay verifies.
        """
        if self.route is None:
            return self.fault
        if port == 0:
            return "zero_port"  # it could never be answered
        if keys is None:
            return None
        try:
            verify(self.route, keys)
        except RouteError:
            return "bad_route"
        return None


def read(data: bytes) -> ClientStun:
    """Read a datagram of which the first byte is STUN's."""
    try:
        header = stun.header(data)
        if header[:2] != (stun.MessageClass.REQUEST, stun.BINDING):
            return ClientStun(None, fault="unknown_source")
        return ClientStun(read_ufrag(stun.server_ufrag_behind(data)), header.transaction_id)
    except StunError:
        return ClientStun(None, fault="malformed_stun")
    except RouteFormatError:
        return ClientStun(None, fault="bad_route")
