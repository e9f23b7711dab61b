"""STUN messages (RFC 8489) as ICE uses them (RFC 8445): strict parsing, serializing, integrity.

Two readers serve two needs. `Message.parse` reads a whole message and refuses any flaw in it.
`username` is what a relay needs of the first packet, and gives the same verdict as the BPF parser
in bpf/parse.h: it checks the header in full, then walks to USERNAME and looks no further.
"""

import hmac
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Self

from relay.wire.endpoint import Endpoint
from relay.wire.errors import IntegrityError, StunError

HEADER_SIZE = 20
MAGIC_COOKIE = 0x2112A442
TRANSACTION_ID_SIZE = 12
BINDING = 0x001

# How many attributes are looked at in search of USERNAME. Every known client puts it first or
# second; the bound is what the BPF parser can afford, and both parsers share the verdict.
MAX_ATTRIBUTES_TO_USERNAME = 8

_COOKIE = MAGIC_COOKIE.to_bytes(4, "big")
_HEADER = struct.Struct("!HHI")  # and the transaction id
_FINGERPRINT_XOR = 0x5354554E
_ATTRIBUTE_HEADER = struct.Struct("!HH")


class MessageClass(IntEnum):
    """The class of a message, the two C bits of its type (RFC 8489, section 5)."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


class Attribute(IntEnum):
    """The attribute types that ICE uses (RFC 8489 section 18.3, RFC 8445 section 16.1)."""

    MAPPED_ADDRESS = 0x0001
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    MESSAGE_INTEGRITY_SHA256 = 0x001C
    XOR_MAPPED_ADDRESS = 0x0020
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    SOFTWARE = 0x8022
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A
    # SPED (draft-hancke-webrtc-sped): a DTLS datagram, and the CRC-32 of those that have come.
    DTLS_IN_STUN = 0xC070
    DTLS_IN_STUN_ACK = 0xC071


# By number: asking the enumeration takes longer than all else that reading a header does.
_CLASSES = tuple(MessageClass)
# What follows either of them does not count (RFC 8489, sections 14.5 and 14.6).
_INTEGRITY = (Attribute.MESSAGE_INTEGRITY, Attribute.MESSAGE_INTEGRITY_SHA256)
# The hash of each, and the sizes that it may have: SHA-256 can be cut (section 14.6).
_HASHES = {
    Attribute.MESSAGE_INTEGRITY: ("sha1", (20,)),
    Attribute.MESSAGE_INTEGRITY_SHA256: ("sha256", (16, 20, 24, 28, 32)),
}


class Header(NamedTuple):
    """The 20 bytes at the start of a message.

    Attributes:
        message_class: Request, indication, success or error.
        method: The method, 12 bits; `BINDING` is the only one of ICE.
        transaction_id: 12 bytes.
    """

    message_class: MessageClass
    method: int
    transaction_id: bytes


def header(data: bytes) -> Header:
    """Read and check the header of a datagram that must be one whole message.

    Raises:
        StunError: Shorter than 20 bytes, top bits not 00, another magic cookie, or a length that
            is no multiple of 4 or not that of the datagram.
    """
    if len(data) < HEADER_SIZE:
        raise StunError("shorter than a STUN header")
    message_type, length, cookie = _HEADER.unpack_from(data)
    if message_type & 0xC000:
        raise StunError("the two top bits are not zero")
    if cookie != MAGIC_COOKIE:
        raise StunError("wrong magic cookie")
    if length % 4 or HEADER_SIZE + length != len(data):
        raise StunError("the length field is not that of the datagram")
    message_class = (message_type >> 4 & 1) | (message_type >> 7 & 2)
    method = message_type & 0xF | message_type >> 1 & 0x70 | message_type >> 2 & 0xF80
    return Header(_CLASSES[message_class], method, data[8:HEADER_SIZE])


def username(data: bytes) -> bytes:
    """The value of the first USERNAME, in a message whose header is valid.

    Attributes after USERNAME are not looked at, nor is anything after MESSAGE-INTEGRITY
    (RFC 8489, section 14.5).

    Raises:
        StunError: The header is invalid, an attribute before USERNAME or USERNAME itself runs
            over the end, or USERNAME is not among the first `MAX_ATTRIBUTES_TO_USERNAME`.
    """
    header(data)
    return _first_username(data)


def server_ufrag(data: bytes) -> bytes:
    """The part of USERNAME before the colon: the ufrag of the agent that receives the request.

    Raises:
        StunError: As `username`, or there is no colon.
    """
    header(data)
    return server_ufrag_behind(data)


def server_ufrag_behind(data: bytes) -> bytes:
    """The same, of a message whose header the caller has read already.

    Raises:
        StunError: As `server_ufrag`, but for the header.
    """
    ufrag, colon, _ = _first_username(data).partition(b":")
    if not colon:
        raise StunError("USERNAME has no colon")
    return ufrag


def _first_username(data: bytes) -> bytes:
    for index, (kind, value) in enumerate(_walk(data)):
        if index == MAX_ATTRIBUTES_TO_USERNAME:
            break
        if kind == Attribute.USERNAME:
            return value
        if kind in _INTEGRITY:
            break
    raise StunError("no USERNAME")


@dataclass(frozen=True, slots=True)
class Message:
    """A STUN message.

    Attributes:
        message_class: Request, indication, success or error.
        method: The method, 12 bits.
        transaction_id: 12 bytes.
        attributes: Type and value of each attribute in order, without padding. `parse` leaves
            out what follows MESSAGE-INTEGRITY (or its SHA-256 form), but for FINGERPRINT;
            `serialize` adds MESSAGE-INTEGRITY and FINGERPRINT itself.
    """

    message_class: MessageClass
    method: int
    transaction_id: bytes
    attributes: tuple[tuple[int, bytes], ...] = field(default=())

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a whole datagram.

        Raises:
            StunError: The header is invalid or an attribute runs over the end.
        """
        head = header(data)
        attributes = []
        protected = False
        for kind, value in _walk(data):
            if kind == Attribute.FINGERPRINT:
                attributes.append((kind, value))
                break  # it is the last attribute (RFC 8489, section 14.7)
            if not protected:
                attributes.append((kind, value))
            protected = protected or kind in _INTEGRITY
        return cls(*head, attributes=tuple(attributes))

    def get(self, kind: int) -> bytes | None:
        """The value of the first attribute of a type: duplicates do not count (section 14)."""
        return next((value for found, value in self.attributes if found == kind), None)

    def serialize(
        self, password: bytes | None = None, integrity: Attribute = Attribute.MESSAGE_INTEGRITY
    ) -> bytes:
        """The bytes of the message.

        Args:
            password: The key of short-term credentials (section 9.1.1); with it, the integrity
                attribute and FINGERPRINT are appended.
            integrity: Which one: MESSAGE-INTEGRITY or its SHA-256 form, in full length.
        """
        body = b"".join(_attribute(kind, value) for kind, value in self.attributes)
        if password is None:
            return self._head(len(body)) + body
        algorithm, sizes = _HASHES[integrity]
        covered = self._head(len(body) + 4 + sizes[-1]) + body
        body += _attribute(integrity, hmac.digest(password, covered, algorithm))
        covered = self._head(len(body) + 8) + body
        return covered + _attribute(Attribute.FINGERPRINT, _fingerprint(covered))

    def _head(self, length: int) -> bytes:
        c, m = self.message_class, self.method
        message_type = (m & 0xF80) << 2 | (m & 0x70) << 1 | m & 0xF | (c & 2) << 7 | (c & 1) << 4
        return _ATTRIBUTE_HEADER.pack(message_type, length) + _COOKIE + self.transaction_id


def verify_integrity(data: bytes, password: bytes) -> None:
    """Check the first integrity attribute, and FINGERPRINT if there is one, of a valid message.

    That is MESSAGE-INTEGRITY or its SHA-256 form, whichever `Message.parse` went by.

    Raises:
        StunError: The message is malformed.
        IntegrityError: There is no integrity attribute, or it or FINGERPRINT is wrong.
    """
    header(data)
    intact = False
    offset = HEADER_SIZE
    for kind, value in _walk(data):
        # Both cover the message up to them, with a length field that ends with them.
        if kind in _INTEGRITY and not intact:
            algorithm, sizes = _HASHES[Attribute(kind)]
            covered = _covered(data, offset, offset + 4 + len(value))
            expected = hmac.digest(password, covered, algorithm)[: len(value)]
            if len(value) not in sizes or not hmac.compare_digest(expected, value):
                name = Attribute(kind).name.replace("_", "-")
                raise IntegrityError(f"{name} does not verify")
            intact = True
        elif kind == Attribute.FINGERPRINT:
            if _fingerprint(_covered(data, offset, offset + 8)) != value:
                raise IntegrityError("FINGERPRINT does not verify")
            break
        offset += 4 + _padded(len(value))
    if not intact:
        raise IntegrityError("no MESSAGE-INTEGRITY")


def xor_address(endpoint: Endpoint, transaction_id: bytes) -> bytes:
    """The value of XOR-MAPPED-ADDRESS for an address (RFC 8489, section 14.2)."""
    v6 = ":" in endpoint.host
    address = endpoint.packed[:16] if v6 else endpoint.packed[12:16]
    port = endpoint.port ^ MAGIC_COOKIE >> 16
    return struct.pack("!BBH", 0, 2 if v6 else 1, port) + _xor(address, transaction_id)


def unxor_address(value: bytes, transaction_id: bytes) -> Endpoint:
    """The address in a XOR-MAPPED-ADDRESS value.

    Raises:
        StunError: The value has another family or size.
    """
    if len(value) < 4:
        raise StunError("XOR-MAPPED-ADDRESS is too short")
    _, family, port = struct.unpack_from("!BBH", value)
    if (family, len(value)) not in ((1, 8), (2, 20)):
        raise StunError("XOR-MAPPED-ADDRESS has another family or size")
    address = _xor(value[4:], transaction_id)
    if family == 1:
        address = bytes(10) + b"\xff\xff" + address
    return Endpoint.unpack(address + (port ^ MAGIC_COOKIE >> 16).to_bytes(2, "big"))


def _walk(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = HEADER_SIZE
    while offset < len(data):
        # The header check made the length a multiple of 4, so an attribute header always fits.
        kind, length = _ATTRIBUTE_HEADER.unpack_from(data, offset)
        end = offset + 4 + length
        if end > len(data):
            raise StunError(f"attribute {kind:#06x} runs over the end of the message")
        yield kind, data[offset + 4 : end]
        offset += 4 + _padded(length)


def _attribute(kind: int, value: bytes) -> bytes:
    padding = bytes(_padded(len(value)) - len(value))
    return _ATTRIBUTE_HEADER.pack(kind, len(value)) + value + padding


def _padded(length: int) -> int:
    return length + 3 & ~3


def _covered(data: bytes, end: int, declared_end: int) -> bytes:
    return data[:2] + (declared_end - HEADER_SIZE).to_bytes(2, "big") + data[4:end]


def _fingerprint(data: bytes) -> bytes:
    return (zlib.crc32(data) ^ _FINGERPRINT_XOR).to_bytes(4, "big")


def _xor(address: bytes, transaction_id: bytes) -> bytes:
    mask = _COOKIE + transaction_id
    return bytes(a ^ b for a, b in zip(address, mask, strict=False))
