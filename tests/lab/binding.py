"""Connectivity checks as clients and transceivers without ICE send them."""

import secrets

from relay.wire.endpoint import Endpoint
from relay.wire.errors import StunError
from relay.wire.stun import BINDING, Attribute, Message, MessageClass, xor_address

_PASSWORD = b"the password of both ends of a load"


def read(data: bytes) -> Message | None:
    """A STUN message; None when it is none."""
    try:
        return Message.parse(data)
    except StunError:
        return None


def check(username: bytes) -> bytes:
    """A Binding request of a client."""
    request = Message(
        MessageClass.REQUEST,
        BINDING,
        secrets.token_bytes(12),
        ((Attribute.USERNAME, username),),
    )
    return request.serialize(_PASSWORD)


def username(request: Message) -> bytes:
    """A check's USERNAME; empty if it has none."""
    return request.get(Attribute.USERNAME) or b""


def answer(request: Message, source: Endpoint) -> bytes:
    """The success that answers a Binding request from there."""
    address = xor_address(source, request.transaction_id)
    return Message(
        MessageClass.SUCCESS,
        BINDING,
        request.transaction_id,
        ((Attribute.XOR_MAPPED_ADDRESS, address),),
    ).serialize(_PASSWORD)
