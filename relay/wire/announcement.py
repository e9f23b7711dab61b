"""The announcement: how a relay tells a transceiver who the client behind an upstream address is.

The relay sends it from the flow's upstream address before the first packet of the client. Without
it the transceiver would answer checks with the upstream address in XOR-MAPPED-ADDRESS, and
MESSAGE-INTEGRITY keeps the relay from putting the client's there. Layout, big-endian:

    byte  0      0x0c: outside the ranges of RFC 7983, so that other servers ignore it
    byte  1      version (1) in the upper half; in the lower one the client's transport: 0 for UDP,
                 1 for TCP
    byte  2-9    time, Unix microseconds
    byte 10-27   client's transport address, packed (see Endpoint.packed)
    byte 28-45   VIP, packed
    byte 46-63   upstream address, packed: the one that it is sent from
    byte 64-67   the flow's epoch
    byte 68-88   the route, 21 bytes
    byte 89-96   SipHash-2-4 of bytes 0-88 under the cluster's announcement key in the key slot
                 that the route names, little-endian; where that key has been retired, in the slot
                 that signs

It is of one upstream address: whoever overhears it can say it of no other one. The epoch counts
how often a relay has taken the client over from another: media follow an announcement of a higher
one only, so that repeated ones move nothing. In version 0, which is not taken any more, upstream
address and epoch were not there.

An edge relay, which forwards to another cluster's relay, announces its clients there in the same
way, under that cluster's edge key.
"""

import hmac
from dataclasses import dataclass
from typing import Self

from relay.wire.endpoint import Endpoint
from relay.wire.errors import AnnouncementError, RouteError
from relay.wire.keys import AnnouncementKeys, KeyRing
from relay.wire.route import Route, open_kept
from relay.wire.siphash import TAG_SIZE, tag
from relay.wire.transport import Transport

FIRST_BYTE = 0x0C
VERSION = 1
SIZE = 97
_SIGNED_SIZE = SIZE - TAG_SIZE
_FIRST = bytes([FIRST_BYTE])
_TRANSPORTS = (Transport.UDP, Transport.TCP)
_CLIENT, _VIP, _UPSTREAM = slice(10, 28), slice(28, 46), slice(46, 64)
_EPOCH, _ROUTE = slice(64, 68), slice(68, _SIGNED_SIZE)
MAX_EPOCH = (1 << 32) - 1
#: Up to here a number of seconds has each microsecond of its own; in the year 2255.
MAX_MICROSECONDS = 1 << 53
_PREFIXES = tuple(bytes([FIRST_BYTE, VERSION << 4 | number]) for number in range(len(_TRANSPORTS)))


def announce(
    ends: bytes,
    route: Route,
    time: float,
    keys: AnnouncementKeys,
    transport: Transport = Transport.UDP,
    *,
    epoch: int = 1,
) -> bytes:
    """The 97 bytes of an announcement.

    Args:
        ends: Client, VIP and upstream address, each packed.
        route: The route in the client's ufrag.
        time: Unix seconds.
        keys: They sign it.
        transport: How the client reaches the relay.
        epoch: The flow's.

    Raises:
        KeyError: There is no key of the route's cluster.
    """
    known = keys.announcement_keys(route.cluster, route.key_slot)
    if not known:
        raise KeyError(route.cluster)
    signed = b"".join(
        (
            _PREFIXES[_TRANSPORTS.index(transport)],
            round(time * 1e6).to_bytes(8, "big"),
            ends,
            epoch.to_bytes(4, "big"),
            route.raw,
        )
    )
    return signed + tag(known[0], signed)


def is_announcement(data: bytes) -> bool:
    """Whether a datagram is meant as an announcement, of any version."""
    return data[:1] == _FIRST


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a relay says of a new upstream address.

    Attributes:
        client: The client's transport address, as the relay sees it.
        vip: The relay's public address that the client sends to.
        upstream: Where the relay sends that client's datagrams from.
        route: The 21 raw bytes of the route in the client's ufrag.
        time: When it was sent, Unix seconds.
        transport: How the client reaches the relay. A client at the same address and port of
            another transport is another one.
        epoch: How often the client was taken over by a relay, from 1 on.
    """

    client: Endpoint
    vip: Endpoint
    upstream: Endpoint
    route: bytes
    time: float
    transport: Transport = Transport.UDP
    epoch: int = 1

    def serialize(self, keys: KeyRing) -> bytes:
        """The 97 bytes of the datagram.

        Raises:
            RouteError: Its key is here, and the route does not verify.
        """
        ends = self.client.packed + self.vip.packed + self.upstream.packed
        route = open_kept(self.route, keys)
        return announce(ends, route, self.time, keys, self.transport, epoch=self.epoch)

    @classmethod
    def parse(cls, data: bytes, keys: KeyRing, by: AnnouncementKeys | None = None) -> Self:
        """Read and verify an announcement.

        Its time, its target and that it came from its upstream address are for the caller to check.

        Args:
            data: The datagram.
            keys: The cluster's, which have signed the route.
            by: What has signed the announcement; None: the same.

        Raises:
            AnnouncementError: It has another shape, or a tag in it does not verify.
        """
        if is_announcement(data) and len(data) > 1 and (version := data[1] >> 4) != VERSION:
            raise AnnouncementError(
                f"an announcement of version {version}, where {VERSION} is known: let relays and "
                "transceivers be of the same release"
            )
        if len(data) != SIZE or not data.startswith(_PREFIXES):
            raise AnnouncementError("not an announcement")
        if (microseconds := int.from_bytes(data[2:10], "big")) >= MAX_MICROSECONDS:
            raise AnnouncementError("an announcement of a time that is none")
        try:
            route = open_kept(data[_ROUTE], keys)
        except RouteError as error:
            raise AnnouncementError(f"an announcement with a bad route: {error}") from None
        signed, told = data[:_SIGNED_SIZE], data[_SIGNED_SIZE:]
        known = (by or keys).announcement_keys(route.cluster, route.key_slot)
        if not any(hmac.compare_digest(tag(key, signed), told) for key in known):
            raise AnnouncementError("the announcement's tag does not verify")
        return cls(
            client=Endpoint.unpack(data[_CLIENT]),
            vip=Endpoint.unpack(data[_VIP]),
            upstream=Endpoint.unpack(data[_UPSTREAM]),
            route=route.raw,
            time=microseconds / 1e6,
            transport=_TRANSPORTS[data[1] & 0x0F],
            epoch=int.from_bytes(data[_EPOCH], "big"),
        )
