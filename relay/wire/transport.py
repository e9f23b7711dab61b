"""How a client reaches a relay: over UDP, or over TCP where UDP is blocked (ICE-TCP, RFC 6544)."""

from enum import StrEnum
from typing import NamedTuple, Self

from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError

MAX_CANDIDATES = 16  # of one answer: those of a few relays, each with one of UDP and two of TCP


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

    @classmethod
    def load(cls, plain: object) -> Self:
        """Take what `dump` returned, as JSON has it.

        Raises:
            EndpointError: It is something else.
        """
        match plain:
            case {"transport": "udp" | "tcp" as transport, "address": str(address), **others}:
                if not others:
                    return cls(Endpoint.parse(address), Transport(transport))
        raise EndpointError(
            f"{plain!r} is no candidate: write "
            '{"transport": "udp", "address": "203.0.113.10:3478"}, or the same with tcp'
        )

    def dump(self) -> dict[str, str]:
        """The candidate as plain data."""
        return {"transport": self.transport.value, "address": str(self.address)}
