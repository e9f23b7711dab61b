"""The goodbye: how a transceiver tells a relay that a call has ended, so that its flow may go.

The transceiver sends it from its media address to the flow's upstream address. Where the client
came through an edge relay, the cluster's relay says the same to that, under the cluster's edge key.
A relay that does not know it drops it, as all that no protocol of RFC 7983 begins with. Layout,
big-endian:

    byte  0      0x0d: outside the ranges of RFC 7983
    byte  1      version (1) in the upper half; in the lower one the key slot, 0 to 6
    byte  2-22   the flow's route, as it was announced
    byte 23-40   client's transport address as announced, packed (see Endpoint.packed)
    byte 41-58   upstream address, packed
    byte 59-66   SipHash-2-4 of bytes 0-58 under the announcement key of the route's cluster in that
                 slot, little-endian

It is of one flow, by its route and addresses. There is no time in it, for clocks differ: one that
was overheard ends no later flow at the same addresses, as that has another route. Version 0, which
is not taken any more, had a target and a time in place of the route.
"""

import hmac
from dataclasses import dataclass
from typing import Self

from relay.wire.endpoint import Endpoint
from relay.wire.errors import GoodbyeError
from relay.wire.keys import AnnouncementKeys, KeyRing
from relay.wire.route import RAW_SIZE, decode
from relay.wire.siphash import TAG_SIZE, tag

FIRST_BYTE = 0x0D
VERSION = 1
SIZE = 67
_SIGNED_SIZE = SIZE - TAG_SIZE
_ROUTE = slice(2, 2 + RAW_SIZE)
_CLIENT, _UPSTREAM = slice(23, 41), slice(41, _SIGNED_SIZE)


def is_goodbye(data: bytes) -> bool:
    """Whether a datagram looks like a goodbye, before anything is verified."""
    return len(data) == SIZE and data[0] == FIRST_BYTE and data[1] >> 4 == VERSION


@dataclass(frozen=True, slots=True)
class Goodbye:
    """What a transceiver says of a call that has ended.

    Attributes:
        route: The 21 raw bytes of the flow's route, as the relay has announced it.
        client: The client's transport address, as the relay has announced it.
        upstream: Where the relay has sent that client's datagrams from.
    """

    route: bytes
    client: Endpoint
    upstream: Endpoint

    def serialize(self, keys: KeyRing) -> bytes:
        """The 67 bytes of the datagram, signed with the ring's signing key."""
        return self.signed(keys, keys.signing_slot)

    def signed(self, keys: AnnouncementKeys, slot: int) -> bytes:
        """The 67 bytes of the datagram, signed with the key in a slot.

        Raises:
            KeyError: There is none.
        """
        signed = b"".join(
            (
                bytes((FIRST_BYTE, VERSION << 4 | slot)),
                self.route,
                self.client.packed,
                self.upstream.packed,
            )
        )
        return signed + tag(keys.goodbye_key(decode(self.route).cluster, slot), signed)

    @classmethod
    def parse(cls, data: bytes, keys: AnnouncementKeys) -> Self:
        """Read and verify a goodbye. Its flow is for the caller to check.

        Raises:
            GoodbyeError: It has another shape, or its tag does not verify.
        """
        if not is_goodbye(data):
            raise GoodbyeError("not a goodbye")
        route = decode(data[_ROUTE])
        try:
            key = keys.goodbye_key(route.cluster, data[1] & 0x0F)
        except KeyError:
            raise GoodbyeError(f"no key is in slot {data[1] & 0x0F} of a goodbye") from None
        if not hmac.compare_digest(tag(key, data[:_SIGNED_SIZE]), data[_SIGNED_SIZE:]):
            raise GoodbyeError("the goodbye's tag does not verify")
        return cls(route.raw, Endpoint.unpack(data[_CLIENT]), Endpoint.unpack(data[_UPSTREAM]))
