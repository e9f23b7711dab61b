"""How a client reaches a relay: over UDP, or over TCP where UDP is blocked (ICE-TCP, RFC 6544)."""

from enum import StrEnum
from typing import NamedTuple

from relay.wire.endpoint import Endpoint


class Transport(StrEnum):
    """A transport protocol between client and relay, as SDP writes it."""

    UDP = "udp"
    TCP = "tcp"


class Candidate(NamedTuple):
    """Where a client may reach a relay: a host candidate, passive where it is one of TCP.

    Attributes:
        address: The transport address.
        transport: The protocol.
    """

    address: Endpoint
    transport: Transport = Transport.UDP
