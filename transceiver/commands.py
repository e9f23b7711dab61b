"""What an ICE agent wants done by the owner of the socket; pure data."""

from dataclasses import dataclass

from relay.wire.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Send:
    """Send a datagram."""

    data: bytes
    destination: Endpoint


@dataclass(frozen=True, slots=True)
class Validated:
    """Datagrams from this source belong to this agent from now on."""

    source: Endpoint


@dataclass(frozen=True, slots=True)
class Forgotten:
    """This source is no path of this agent any more."""

    source: Endpoint


@dataclass(frozen=True, slots=True)
class Selected:
    """Everything is sent to this path from now on."""

    path: Endpoint


@dataclass(frozen=True, slots=True)
class Embedded:
    """Take this DTLS datagram, which came from there inside of a check (SPED)."""

    data: bytes
    source: Endpoint


@dataclass(frozen=True, slots=True)
class Refused:
    """A datagram changed nothing; the reason is one word for a counter."""

    reason: str


Command = Send | Validated | Forgotten | Selected | Embedded | Refused
