"""What of an SCTP packet may reach the association (RFC 9260); pure.

aiortc's parser trusts lengths and counts: a parameter of length 0 keeps it busy for ever, a gap of
65,535 packets for milliseconds, a cut chunk raises. So packets are taken apart here, and a chunk
that is not well formed costs itself. Numbers are big endian. The checksum is not looked at: DTLS
has authenticated the packet (as RFC 9653 argues, too).
"""

import struct
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import NamedTuple

_HEADER = 12  # bytes: ports, verification tag, checksum
_MODULUS = 1 << 32
_chunk = struct.Struct("!BBH")
_parameter = struct.Struct("!HH")
_sack = struct.Struct("!LLHH")
MAX_AHEAD = 512  # packets after the last one in order that are kept: a report of all gaps fits


class Kind(IntEnum):
    """The types of chunks that an association of data channels knows."""

    DATA = 0
    INIT = 1
    INIT_ACK = 2
    SACK = 3
    HEARTBEAT = 4
    HEARTBEAT_ACK = 5
    ABORT = 6
    SHUTDOWN = 7
    SHUTDOWN_ACK = 8
    ERROR = 9
    COOKIE_ECHO = 10
    COOKIE_ACK = 11
    SHUTDOWN_COMPLETE = 14
    RECONFIG = 130
    FORWARD_TSN = 192


class Chunk(NamedTuple):
    """A chunk.

    Attributes:
        kind: Its type.
        flags: Its flags.
        body: What follows its header, without padding.
    """

    kind: Kind
    flags: int
    body: bytes


class Progress(NamedTuple):
    """How far an association is.

    Attributes:
        established: Whether it is established.
        received: The last TSN that came in order; None before there can be one.
        acknowledged: The last TSN of ours that the client has acknowledged.
        sent: The last TSN that we have sent.
    """

    established: bool
    received: int | None
    acknowledged: int
    sent: int


def chunks(packet: bytes, tag: int) -> list[Chunk]:
    """The well-formed chunks of a packet with our verification tag.

    An INIT stands alone and has tag 0 (RFC 9260, sections 3.1 and 8.5.1). What comes after a chunk
    whose length is wrong cannot be found.
    """
    if len(packet) < _HEADER:
        return []
    found = []
    position = _HEADER
    while position + _chunk.size <= len(packet):
        kind, flags, length = _chunk.unpack_from(packet, position)
        end = position + length
        if length < _chunk.size or end > len(packet):
            break
        if kind in _KINDS:
            chunk = Chunk(Kind(kind), flags, packet[position + _chunk.size : end])
            if _FORM.get(chunk.kind, _any)(chunk.body):
                found.append(chunk)
        position = end + -length % 4
    begins = any(chunk.kind is Kind.INIT for chunk in found)
    if begins and len(found) > 1:
        return []
    return found if _number(packet[4:8]) == (0 if begins else tag) else []


def fits(chunk: Chunk, progress: Progress) -> bool:
    """Whether a well-formed chunk makes sense now."""
    match chunk.kind:
        case Kind.DATA:
            # What came before is acknowledged again.
            ahead = _since(progress.received, _number(chunk.body[:4]))
            return ahead is not None and (ahead <= MAX_AHEAD or ahead > _MODULUS // 2)
        case Kind.SACK:
            return progress.received is not None and _acknowledges(chunk.body, progress)
        case Kind.FORWARD_TSN | Kind.SHUTDOWN:
            return progress.received is not None
        case Kind.INIT:
            # Clients of data channels do not restart: it is a repetition that came late.
            return not progress.established
        case _:
            return True


def _acknowledges(body: bytes, progress: Progress) -> bool:
    """Whether a report is of packets that were sent; an older one is passed over by aiortc."""
    gaps = _number(body[8:10])
    done = (_number(body[:4]) - progress.acknowledged) % _MODULUS
    outstanding = (progress.sent - progress.acknowledged) % _MODULUS
    if done > outstanding:
        return done > _MODULUS // 2
    reached = 0
    for first, last in struct.iter_unpack("!HH", body[_sack.size : _sack.size + 4 * gaps]):
        if not reached < first <= last:
            return False
        reached = int(last)
    return done + reached <= outstanding


def _since(before: int | None, number: int) -> int | None:
    return None if before is None else (number - before) % _MODULUS


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _any(_: bytes) -> bool:
    return True


def _is_data(body: bytes) -> bool:
    return len(body) > 12  # bytes of its header; a message has at least one


def _is_init(body: bytes) -> bool:
    if len(body) < 16:
        return False
    tag, outgoing, incoming = body[:4], body[8:10], body[10:12]
    return any(tag) and any(outgoing) and any(incoming) and _are_parameters(body[16:])


def _is_sack(body: bytes) -> bool:
    if len(body) < _sack.size:
        return False
    gaps, duplicates = _number(body[8:10]), _number(body[10:12])
    return len(body) == _sack.size + 4 * (gaps + duplicates)


def _is_forward(body: bytes) -> bool:
    return len(body) >= 4 and len(body) % 4 == 0


def _is_shutdown(body: bytes) -> bool:
    return len(body) == 4


def _are_parameters(body: bytes) -> bool:
    return _parameters(body) is not None


def _is_reconfiguration(body: bytes) -> bool:
    parameters = _parameters(body)
    return parameters is not None and all(
        _RECONFIGURATIONS.get(kind, _any)(value) for kind, value in parameters
    )


def _parameters(body: bytes) -> list[tuple[int, bytes]] | None:
    """Types and values; None if they are not well formed. The last one may lack its padding."""
    found, position = [], 0
    while position < len(body):
        if position + _parameter.size > len(body):
            return None
        kind, length = _parameter.unpack_from(body, position)
        if length < _parameter.size or position + length > len(body):
            return None
        found.append((kind, body[position + _parameter.size : position + length]))
        position += length + -length % 4
    return found


_KINDS = frozenset(Kind)
_FORM: Mapping[Kind, Callable[[bytes], bool]] = {
    Kind.DATA: _is_data,
    Kind.INIT: _is_init,
    Kind.INIT_ACK: _is_init,
    Kind.SACK: _is_sack,
    Kind.HEARTBEAT: _are_parameters,
    Kind.HEARTBEAT_ACK: _are_parameters,
    Kind.ABORT: _are_parameters,
    Kind.SHUTDOWN: _is_shutdown,
    Kind.ERROR: _are_parameters,
    Kind.RECONFIG: _is_reconfiguration,
    Kind.FORWARD_TSN: _is_forward,
}
# RFC 6525, section 4: outgoing reset, its response, more outgoing streams.
_RECONFIGURATIONS: Mapping[int, Callable[[bytes], bool]] = {
    13: lambda value: len(value) >= 12 and len(value) % 2 == 0,
    16: lambda value: len(value) in (8, 16),
    17: lambda value: len(value) == 8,
}
