"""SPED: DTLS inside of connectivity checks (draft-hancke-webrtc-sped); pure.

A client puts a DTLS datagram into a check, and so its ClientHello comes with the first of them. A
lite agent could put its flight into its responses. It does not: once a check was answered, plain
DTLS is allowed, arrives as early, and needs no packets cut to fit. So a response says which
datagrams have come, and that none is in it.

The caller has verified the request. Clients repeat a datagram in each check until a response
acknowledges it; here each counts once, so that a ClientHello makes one flight.
"""

import struct
import zlib
from collections import OrderedDict

from relay.wire.demux import Kind, classify
from relay.wire.stun import Attribute, Message

MAX_EMBEDDED = 1200  # bytes; libwebrtc makes them 900 at most
_ACKNOWLEDGED = 4  # the most that an acknowledgement can name
_REMEMBERED = 64  # datagrams; a handshake has about 10 of the client's
_CRC = struct.Struct("!I")


class Sped:
    """What one agent knows of its client's embedded datagrams."""

    def __init__(self) -> None:
        self._received: OrderedDict[int, None] = OrderedDict()
        self._sent: OrderedDict[int, None] = OrderedDict()

    def take(self, request: Message) -> bytes | None:
        """The new DTLS datagram in an authenticated request, if there is one.

        What is no DTLS, or too long for a check, is passed over and not acknowledged.
        """
        data = request.get(Attribute.DTLS_IN_STUN)
        if not data or len(data) > MAX_EMBEDDED or classify(data) is not Kind.DTLS:
            return None
        known = zlib.crc32(data) in self._received
        _note(self._received, data)
        return None if known else data

    def answer(self, request: Message) -> tuple[tuple[int, bytes], ...]:
        """What the response to a request has of SPED: nothing, if the request has nothing."""
        if not speaks(request):
            return ()
        latest = list(self._received)[-_ACKNOWLEDGED:]
        acknowledged = b"".join(map(_CRC.pack, latest))
        return (Attribute.DTLS_IN_STUN, b""), (Attribute.DTLS_IN_STUN_ACK, acknowledged)

    def sent(self, data: bytes) -> None:
        """Note a datagram that was sent as plain DTLS."""
        _note(self._sent, data)

    def has_arrived(self, request: Message) -> bool:
        """Whether an authenticated request acknowledges something that was sent.

        Only who has received it can know its checksum: a ServerHello is random.
        """
        value = request.get(Attribute.DTLS_IN_STUN_ACK) or b""
        if len(value) % _CRC.size or len(value) > _ACKNOWLEDGED * _CRC.size:
            return False
        return any(crc in self._sent for (crc,) in _CRC.iter_unpack(value))


def speaks(request: Message) -> bool:
    """Whether a client shows in a request that it knows of SPED."""
    kinds = Attribute.DTLS_IN_STUN, Attribute.DTLS_IN_STUN_ACK
    return any(request.get(kind) is not None for kind in kinds)


def _note(known: OrderedDict[int, None], data: bytes) -> None:
    crc = zlib.crc32(data)
    known[crc] = None
    known.move_to_end(crc)
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
