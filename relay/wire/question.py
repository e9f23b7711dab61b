"""Whose is this client? A relay asks transceivers, where no mirror can tell it.

A question goes from an address of the relay's to the media address of each transceiver. Who has a
call of that client answers, and all others are silent. Layout of a question, big-endian:

    byte  0      0x0e: outside the ranges of RFC 7983
    byte  1      version (0) in the upper half; in the lower one the key slot, 0 to 6
    byte  2-9    random nonce
    byte 10-11   the cluster
    byte 12-29   client's transport address, packed (see Endpoint.packed)
    byte 30-47   the VIP that it sends to, packed
    byte 48-65   the address that the question is sent from, packed
    byte 66-73   SipHash-2-4 of bytes 0-65 under the cluster's announcement key in that slot,
                 little-endian

and of an answer, which is shorter than a question, so that nobody is flooded by means of it:

    byte  0      0x0f
    byte  1      version and key slot, as above
    byte  2-9    the question's nonce
    byte 10-30   the route in the ufrag of the client's call
    byte 31-34   the highest epoch that was announced of the client
    byte 35-52   upstream address behind which the client was until now, packed
    byte 53-60   SipHash-2-4 of bytes 0-52 under the key of the route's cluster in that slot

A copy of a question that comes from elsewhere is of nobody. A copy of an answer has a nonce for
which nobody waits, as has one that was made up.
"""

import hmac
from dataclasses import dataclass
from typing import Self

from relay.wire.endpoint import PACKED_SIZE, Endpoint
from relay.wire.errors import QuestionError
from relay.wire.keys import KeyRing
from relay.wire.route import RAW_SIZE, TARGET, decode
from relay.wire.siphash import TAG_SIZE, tag

QUESTION, ANSWER = 0x0E, 0x0F  # first bytes
VERSION = 0
NONCE_SIZE = 8
QUESTION_SIZE, ANSWER_SIZE = 74, 61
_NONCE = slice(2, 10)
_CLIENT, _VIP, _ASKER = (slice(start, start + PACKED_SIZE) for start in (12, 30, 48))
_ROUTE, _EPOCH, _UPSTREAM = slice(10, 10 + RAW_SIZE), slice(31, 35), slice(35, 53)


def is_question(data: bytes) -> bool:
    """Whether a datagram is meant as a question, before anything is verified."""
    return len(data) == QUESTION_SIZE and data[0] == QUESTION


@dataclass(frozen=True, slots=True)
class Question:
    """What a relay asks.

    Attributes:
        nonce: `NONCE_SIZE` random bytes, which its answers repeat.
        cluster: Whose transceivers are asked.
        client: Of which client.
        vip: Where that sends to.
        asker: Where the question is sent from, and the answer goes to.
    """

    nonce: bytes
    cluster: int
    client: Endpoint
    vip: Endpoint
    asker: Endpoint

    def serialize(self, keys: KeyRing) -> bytes:
        """The 74 bytes of the datagram, signed with the ring's signing key."""
        ends = self.client.packed + self.vip.packed + self.asker.packed
        body = self.nonce + self.cluster.to_bytes(2, "big") + ends
        return _sign(QUESTION, body, self.cluster, keys)

    @classmethod
    def parse(cls, data: bytes, keys: KeyRing) -> Self:
        """Read and verify a question. That it came from its asker is for the caller to check.

        Raises:
            QuestionError: It has another shape or version, or its tag does not verify.
        """
        cluster = int.from_bytes(data[10:12], "big")
        _verify(data, QUESTION, QUESTION_SIZE, cluster, keys)
        client, vip, asker = (Endpoint.unpack(data[part]) for part in (_CLIENT, _VIP, _ASKER))
        return cls(data[_NONCE], cluster, client, vip, asker)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the transceiver says that has a call of the client.

    Attributes:
        nonce: The question's.
        route: The 21 raw bytes of the route in the call's ufrag; it leads to the transceiver.
        epoch: The highest one that was announced of the client: a take-over has the next one.
        upstream: The address of a relay behind which the client was.
    """

    nonce: bytes
    route: bytes
    epoch: int
    upstream: Endpoint

    @property
    def target(self) -> bytes:
        """The transceiver that the route leads to, packed."""
        return self.route[TARGET]

    def serialize(self, keys: KeyRing) -> bytes:
        """The 61 bytes of the datagram, signed with the ring's signing key."""
        body = self.nonce + self.route + self.epoch.to_bytes(4, "big") + self.upstream.packed
        return _sign(ANSWER, body, decode(self.route).cluster, keys)

    @classmethod
    def parse(cls, data: bytes, keys: KeyRing) -> Self:
        """Read and verify an answer. Whether it was asked for is for the caller to check.

        Raises:
            QuestionError: It has another shape or version, or its tag does not verify.
        """
        if len(data) != ANSWER_SIZE:
            raise QuestionError("not an answer")
        route = decode(data[_ROUTE])
        _verify(data, ANSWER, ANSWER_SIZE, route.cluster, keys)
        epoch = int.from_bytes(data[_EPOCH], "big")
        return cls(data[_NONCE], route.raw, epoch, Endpoint.unpack(data[_UPSTREAM]))


def _sign(first: int, body: bytes, cluster: int, keys: KeyRing) -> bytes:
    slot = keys.signing_slot
    signed = bytes((first, VERSION << 4 | slot)) + body
    return signed + tag(keys.goodbye_key(cluster, slot), signed)


def _verify(data: bytes, first: int, size: int, cluster: int, keys: KeyRing) -> None:
    if len(data) != size or data[0] != first or data[1] >> 4 != VERSION:
        raise QuestionError("not a question or an answer of a version that is known")
    try:
        key = keys.goodbye_key(cluster, data[1] & 0x0F)
    except KeyError:
        raise QuestionError(f"no key is in slot {data[1] & 0x0F}") from None
    if not hmac.compare_digest(tag(key, data[:-TAG_SIZE]), data[-TAG_SIZE:]):
        raise QuestionError("the tag does not verify")
