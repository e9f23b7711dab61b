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
    420: b"Unknown Attribute",
    487: b"Role Conflict",
}


def success(
    request: Message,
    mapped: Endpoint,
    password: bytes,
    extra: tuple[tuple[int, bytes], ...] = (),
) -> bytes:
    """The success response to a request, with the integrity attribute that the request has.

    Args:
        request: The Binding request.
        mapped: The client's address as we know it, for XOR-MAPPED-ADDRESS.
        password: Of the request's credentials.
        extra: Attributes beside the address.
    """
    transaction = request.transaction_id
    attributes = ((Attribute.XOR_MAPPED_ADDRESS, xor_address(mapped, transaction)), *extra)
    answer = Message(MessageClass.SUCCESS, BINDING, transaction, attributes)
    return answer.serialize(password, integrity(request))


def error(request: Message, code: int, password: bytes) -> bytes:
    """The error response to an authenticated request.

    Args:
        request: The Binding request.
        code: 420 or 487.
        password: Of the request's credentials.
    """
    attributes = [
        (Attribute.ERROR_CODE, struct.pack("!HBB", 0, *divmod(code, 100)) + _REASONS[code])
    ]
    if code == 420:
        unknown = unknown_attributes(request)
        names = struct.pack(f"!{len(unknown)}H", *unknown)
        attributes.append((Attribute.UNKNOWN_ATTRIBUTES, names))
    answer = Message(MessageClass.ERROR, BINDING, request.transaction_id, tuple(attributes))
    return answer.serialize(password, integrity(request))


def integrity(request: Message) -> Attribute:
    """The integrity attribute that a request counts by, and its response has (RFC 8489, 9.1.3)."""
    if request.get(Attribute.MESSAGE_INTEGRITY_SHA256) is None:
        return Attribute.MESSAGE_INTEGRITY
    return Attribute.MESSAGE_INTEGRITY_SHA256


def flaw(message: Message, data: bytes) -> str | None:
    """Why a message gets no answer at all, as it is counted; None, if it is a request.

    A damaged one gets none: an error would end a check that a retransmission can still save.
    """
    if message.method == BINDING and message.message_class is MessageClass.INDICATION:
        return "stun_indication"  # it keeps a NAT open (RFC 8445, section 11)
    if message.method != BINDING or message.message_class is not MessageClass.REQUEST:
        return "stun_not_a_check"
    return None if fingerprint_valid(message, data) else "stun_fingerprint"


def refusal(request: Message) -> int | None:
    """The error code that an authenticated request has earned; None, if it is a check."""
    if unknown_attributes(request):
        return 420
    # A lite agent is always the controlled one (RFC 8445 section 6.1.1).
    return None if request.get(Attribute.ICE_CONTROLLED) is None else 487


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
