"""STUN connectivity checks (RFC 8489, RFC 8445): validation of requests, and the responses."""

import struct
import zlib

from relay.wire.endpoint import Endpoint
from relay.wire.stun import BINDING, Attribute, Message, MessageClass, xor_address

# Comprehension-required attributes (below 0x8000) that a check may carry: RFC 8489 section 18.3
# and RFC 8445 section 16.1. Any other makes the request unanswerable (RFC 8489 section 6.3.1).
_UNDERSTOOD = frozenset(
    {
        Attribute.MAPPED_ADDRESS,
        Attribute.USERNAME,
        Attribute.MESSAGE_INTEGRITY,
        Attribute.ERROR_CODE,
        Attribute.UNKNOWN_ATTRIBUTES,
        Attribute.MESSAGE_INTEGRITY_SHA256,
        Attribute.XOR_MAPPED_ADDRESS,
        Attribute.PRIORITY,
        Attribute.USE_CANDIDATE,
    }
)
_COMPREHENSION_OPTIONAL = 0x8000
_FINGERPRINT_XOR = 0x5354554E
_REASONS = {
    400: b"Bad Request",
    401: b"Unauthenticated",
    420: b"Unknown Attribute",
    487: b"Role Conflict",
}


def success(request: Message, mapped: Endpoint, password: bytes) -> bytes:
    """The success response to a request.

    Args:
        request: The Binding request.
        mapped: The client's address as we know it, for XOR-MAPPED-ADDRESS.
        password: Of the request's credentials.
    """
    transaction = request.transaction_id
    attributes = ((Attribute.XOR_MAPPED_ADDRESS, xor_address(mapped, transaction)),)
    return Message(MessageClass.SUCCESS, BINDING, transaction, attributes).serialize(password)


def error(request: Message, code: int, password: bytes | None = None) -> bytes:
    """The error response to a request.

    Args:
        request: The Binding request.
        code: 400, 401, 420 or 487.
        password: Of the request's credentials, if they were verified.
    """
    attributes = [
        (Attribute.ERROR_CODE, struct.pack("!HBB", 0, *divmod(code, 100)) + _REASONS[code])
    ]
    if code == 420:
        unknown = unknown_attributes(request)
        names = struct.pack(f"!{len(unknown)}H", *unknown)
        attributes.append((Attribute.UNKNOWN_ATTRIBUTES, names))
    answer = Message(MessageClass.ERROR, BINDING, request.transaction_id, tuple(attributes))
    return answer.serialize(password)


def unknown_attributes(request: Message) -> list[int]:
    """The comprehension-required attributes that are not supported here, each once."""
    kinds = dict.fromkeys(kind for kind, _ in request.attributes)
    return [k for k in kinds if k < _COMPREHENSION_OPTIONAL and k not in _UNDERSTOOD]


def fingerprint_valid(request: Message, data: bytes) -> bool:
    """Whether FINGERPRINT is absent, or the last attribute and correct (RFC 8489 section 14.7)."""
    value = request.get(Attribute.FINGERPRINT)
    if value is None:
        return True
    return (zlib.crc32(data[:-8]) ^ _FINGERPRINT_XOR).to_bytes(4, "big") == value
