"""A small TURN client (RFC 8656): it allocates an address, and binds a channel to a peer. Pure."""

import struct
from enum import IntEnum

from relay.wire import stun
from relay.wire.endpoint import Endpoint
from relay.wire.stun import Message, MessageClass
from tests.lab.errors import LabError

CHANNEL = 0x4000  # the first of those that RFC 8656 (section 12) leaves to clients
_UDP = 17 << 24  # REQUESTED-TRANSPORT has the protocol in its first byte


class Method(IntEnum):
    """The methods in use (RFC 8656, section 17)."""

    ALLOCATE = 0x003
    CREATE_PERMISSION = 0x008
    CHANNEL_BIND = 0x009


class Attribute(IntEnum):
    """The attributes in use (RFC 8656, section 18)."""

    CHANNEL_NUMBER = 0x000C
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_TRANSPORT = 0x0019


def allocate(transaction: bytes, lifetime: int) -> Message:
    """Ask for a relayed UDP address, for a number of seconds."""
    return _request(
        Method.ALLOCATE,
        transaction,
        (Attribute.REQUESTED_TRANSPORT, struct.pack("!I", _UDP)),
        (Attribute.LIFETIME, struct.pack("!I", lifetime)),
    )


def create_permission(transaction: bytes, peer: Endpoint) -> Message:
    """Ask that a peer may send to the relayed address."""
    address = stun.xor_address(peer, transaction)
    return _request(Method.CREATE_PERMISSION, transaction, (Attribute.XOR_PEER_ADDRESS, address))


def bind_channel(transaction: bytes, peer: Endpoint) -> Message:
    """Ask that `CHANNEL` stands for a peer."""
    return _request(
        Method.CHANNEL_BIND,
        transaction,
        (Attribute.CHANNEL_NUMBER, struct.pack("!HH", CHANNEL, 0)),
        (Attribute.XOR_PEER_ADDRESS, stun.xor_address(peer, transaction)),
    )


def relayed_address(answer: Message) -> Endpoint:
    """The address that an answer to `allocate` grants.

    Raises:
        LabError: It grants none.
    """
    value = answer.get(Attribute.XOR_RELAYED_ADDRESS)
    if value is None:
        raise LabError("The TURN server's answer has no relayed address.")
    return stun.unxor_address(value, answer.transaction_id)


def _request(method: Method, transaction: bytes, *attributes: tuple[Attribute, bytes]) -> Message:
    return Message(
        MessageClass.REQUEST,
        method,
        transaction,
        tuple((int(kind), value) for kind, value in attributes),
    )
