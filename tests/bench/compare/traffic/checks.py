"""ICE connectivity checks of many clients, which share one raw socket.

A real client's packets could come from there as well: they are whole, from the IPv4 header on.
"""

import socket

from relay.wire import stun
from relay.wire.endpoint import Endpoint
from relay.wire.stun import BINDING, Attribute, Message, MessageClass
from tests.bench.compare.testbed.testbed import Testbed
from tests.bench.compare.traffic import packets
from tests.lab.topology import CLIENT

PASSWORD = b"the password of both ends"
NUMBER_SIZE = 4  # the last bytes of a transaction ID, which tell whose request it is
MARK_SIZE = stun.TRANSACTION_ID_SIZE - NUMBER_SIZE  # the rest, which tells this run from others
LARGEST = 2048  # bytes of a packet

_BUFFER_BYTES = 8 << 20
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; the socket module does not name it
_PRIORITY = (1862270975).to_bytes(4, "big")  # of a peer-reflexive candidate, as browsers compute it


def binding_request(client: Endpoint, vip: Endpoint, ufrag: str, mark: bytes, number: int) -> bytes:
    """The packet of a check, from the IPv4 header on.

    Args:
        client: The client's transport address.
        vip: Where it sends to.
        ufrag: What it names as the server's ufrag.
        mark: What the transaction ID begins with, `MARK_SIZE` bytes.
        number: What the transaction ID ends with.
    """
    attributes = (
        (int(Attribute.USERNAME), f"{ufrag}:bench".encode()),
        (int(Attribute.PRIORITY), _PRIORITY),
        (int(Attribute.ICE_CONTROLLING), mark),
        (int(Attribute.USE_CANDIDATE), b""),
    )
    transaction = mark + number.to_bytes(NUMBER_SIZE, "big")
    request = Message(MessageClass.REQUEST, BINDING, transaction, attributes)
    return packets.packet(client, vip, request.serialize(PASSWORD))


def raw_socket(testbed: Testbed) -> socket.socket:
    """A non-blocking socket for whole IPv4 packets, in the clients' host."""
    with testbed.hosts[CLIENT].inside():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
    return prepared(raw)


def prepared(made: socket.socket) -> socket.socket:
    """The socket, with room for a burst of packets, and never waiting."""
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    made.setblocking(False)
    return made
