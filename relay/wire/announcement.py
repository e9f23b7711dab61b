"""The announcement: how a relay tells a transceiver who the client behind an upstream address is.

The relay sends it from the flow's upstream address before the first packet of the client. Without
it the transceiver would answer checks with the upstream address in XOR-MAPPED-ADDRESS, and
MESSAGE-INTEGRITY keeps the relay from putting the client's there. Layout, big-endian:

    byte  0      0x0c: outside the ranges of RFC 7983, so that other servers ignore it
    byte  1      version (0) in the upper half; in the lower one the client's transport: 0 for UDP,
                 1 for TCP
    byte  2-9    time, Unix microseconds
    byte 10-27   client's transport address, packed (see Endpoint.packed)
    byte 28-45   VIP, packed
    byte 46-66   the route, 21 bytes
    byte 67-74   SipHash-2-4 of bytes 0-66 under the cluster's announcement key in the key slot
                 that the route names, little-endian
"""

import hmac
from dataclasses import dataclass
from typing import Self

from relay.wire.endpoint import Endpoint
from relay.wire.errors import AnnouncementError, RouteError
from relay.wire.keys import KeyRing
from relay.wire.route import Route, open_raw
from relay.wire.siphash import TAG_SIZE, tag
from relay.wire.transport import Transport

FIRST_BYTE = 0x0C
VERSION = 0
SIZE = 75
_SIGNED_SIZE = SIZE - TAG_SIZE
_TRANSPORTS = (Transport.UDP, Transport.TCP)
_PREFIXES = tuple(bytes([FIRST_BYTE, VERSION << 4 | number]) for number in range(len(_TRANSPORTS)))


def announce(
    source: bytes, route: Route, time: float, keys: KeyRing, transport: Transport = Transport.UDP
) -> bytes:
    """The 75 bytes of an announcement.

    Args:
        source: Client and VIP, each packed.
        route: The route in the client's ufrag, verified under these keys.
        time: Unix seconds.
        keys: They sign it.
        transport: How the client reaches the relay.
    """
    signed = b"".join(
        (
            _PREFIXES[_TRANSPORTS.index(transport)],
            round(time * 1e6).to_bytes(8, "big"),
            source,
            route.raw,
        )
    )
    return signed + tag(keys.announcement_key(route.cluster, route.key_slot), signed)


def is_announcement(data: bytes) -> bool:
    """Whether a datagram looks like an announcement, before anything is verified."""
    return len(data) == SIZE and data.startswith(_PREFIXES)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a relay says of a new upstream address.

    Attributes:
        client: The client's transport address, as the relay sees it.
        vip: The relay's public address that the client sends to.
        route: The 21 raw bytes of the route in the client's ufrag.
        time: When it was sent, Unix seconds.
        transport: How the client reaches the relay. A client at the same address and port of
            another transport is another one.
    """

    client: Endpoint
    vip: Endpoint
    route: bytes
    time: float
    transport: Transport = Transport.UDP

    def serialize(self, keys: KeyRing) -> bytes:
        """The 75 bytes of the datagram.

        Raises:
            RouteError: The route does not verify under these keys.
        """
        source = self.client.packed + self.vip.packed
        return announce(source, open_raw(self.route, keys), self.time, keys, self.transport)

    @classmethod
    def parse(cls, data: bytes, keys: KeyRing) -> Self:
        """Read and verify an announcement. Its time and target are for the caller to check.

        Raises:
            AnnouncementError: It has another shape, or a tag in it does not verify.
        """
        if not is_announcement(data):
            raise AnnouncementError("not an announcement")
        try:
            route = open_raw(data[46:_SIGNED_SIZE], keys)
        except RouteError as error:
            raise AnnouncementError(f"an announcement with a bad route: {error}") from None
        key = keys.announcement_key(route.cluster, route.key_slot)
        if not hmac.compare_digest(tag(key, data[:_SIGNED_SIZE]), data[_SIGNED_SIZE:]):
            raise AnnouncementError("the announcement's tag does not verify")
        return cls(
            client=Endpoint.unpack(data[10:28]),
            vip=Endpoint.unpack(data[28:46]),
            route=route.raw,
            time=int.from_bytes(data[2:10], "big") / 1e6,
            transport=_TRANSPORTS[data[1] & 0x0F],
        )
