"""A client's address as an ICE agent knows it: what a relay says of it, and what it may be sent.

Whoever has a session can write another's address into a check. So an address gets three bytes for
each that came from it, until it has proven itself.
"""

from dataclasses import dataclass
from typing import NamedTuple

from relay.wire.endpoint import Endpoint
from relay.wire.transport import Transport

AMPLIFICATION = 3  # bytes sent for one received, as in QUIC (RFC 9000, section 8.1)


class Announced(NamedTuple):
    """What a relay said about a source address.

    Attributes:
        client: The client's own transport address.
        time: When the relay said so, Unix seconds.
        transport: How the client reaches the relay.
        epoch: How often the client was taken over from another relay, from 1 on.
    """

    client: Endpoint
    time: float
    transport: Transport = Transport.UDP
    epoch: int = 1

    def is_of(self, other: "Announced") -> bool:
        """Whether both are of the same client.

        The same address of another transport is not: behind a NAT it may be somebody else's.
        """
        return (self.client, self.transport) == (other.client, other.transport)


@dataclass(slots=True)
class Path:
    """A source address that has passed a check.

    Attributes:
        checked: Time of its last authenticated request, or answer to one of ours.
        heard: Time of the last authentic datagram from it, of any kind.
        generation: Which credentials that request used; an ICE restart counts up.
        announced: What a relay says of this address.
        received: Bytes that came from it.
        sent: Bytes that were sent to it before it was proven.
        proven: Whether it has shown that it receives what it is sent.
    """

    checked: float
    heard: float
    generation: int
    announced: Announced | None
    received: int = 0
    sent: int = 0
    proven: bool = False

    def is_of(self, announced: Announced | None) -> bool:
        """Whether relays say that the client here is the one that they announced elsewhere."""
        known = self.announced
        return known is not None and announced is not None and known.is_of(announced)

    def may_get(self, size: int) -> bool:
        """Whether it may be sent so many bytes more."""
        return self.proven or self.sent + size <= AMPLIFICATION * self.received
