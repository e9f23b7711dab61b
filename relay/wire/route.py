"""The route in the ufrag: 21 bytes, written as 28 characters of the ICE alphabet.

    byte  0      version:2 | key slot:3 (7 = unroutable) | flags:3
    byte  1-2    cluster
    byte  3-5    transceiver slot
    byte  6      generation
    byte  7-8    expiry, in units of 64 s of Unix time, modulo 2**16
    byte  9-12   random nonce
    byte 13-20   SipHash-2-4 of bytes 0-12 under the cluster's key in that slot, little-endian

Numbers are big-endian. 21 bytes are 28 base64 characters with no bits to spare, so a route has one
spelling. RFC 8839 (section 5.4) wants 4 to 256 characters, at most 32 when sending.
"""

import base64
import binascii
import hmac
import re
import struct
from dataclasses import dataclass
from typing import NamedTuple, Self

from relay.wire.errors import RouteFormatError, RouteKeyError, RouteTagError
from relay.wire.keys import KeyRing
from relay.wire.keysource import UNROUTABLE_SLOT
from relay.wire.siphash import TAG_SIZE, tag

VERSION = 0
RAW_SIZE = 21
UFRAG_SIZE = 28
NONCE_SIZE = 4
EXPIRY_UNIT = 64  # seconds
_EXPIRY_MODULUS = 1 << 16
_SIGNED_SIZE = RAW_SIZE - TAG_SIZE
CLUSTER = slice(1, 3)  # where its number is in a route's bytes
TAG = slice(_SIGNED_SIZE, RAW_SIZE)  # where the tag is in a route's bytes
# Where the target is: two lead to the same one if these are equal.
TARGET = slice(1, 7)
_TARGET = struct.Struct("!HBHB")
_WRITTEN = re.compile(r"(\d{1,5})/(\d{1,8})\.(\d{1,3})", re.ASCII)  # as `str` writes a target

# Half the number space less a margin for clocks that differ: 2**15 units are 24 days.
MAX_LIFETIME = 20 * 24 * 3600.0


class Target(NamedTuple):
    """Who a route leads to.

    Attributes:
        cluster: The cluster's number, 16 bits.
        slot: The transceiver's number in its cluster, 24 bits.
        generation: A counter that changes whenever the slot gets a new owner, 8 bits.
    """

    cluster: int
    slot: int
    generation: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` writes.

        Raises:
            ValueError: It is something else.
        """
        match = _WRITTEN.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not cluster/slot.generation")
        return cls(*map(int, match.groups()))

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Read the 6 bytes that `packed` writes."""
        cluster, slot_high, slot_low, generation = _TARGET.unpack(packed)
        return cls(cluster, slot_high << 16 | slot_low, generation)

    @property
    def packed(self) -> bytes:
        """6 bytes, as in a route."""
        slot_high, slot_low = divmod(self.slot, 1 << 16)
        return _TARGET.pack(self.cluster, slot_high, slot_low, self.generation)

    def __str__(self) -> str:
        """As people write it: cluster/slot.generation."""
        return f"{self.cluster}/{self.slot}.{self.generation}"


@dataclass(frozen=True, slots=True)
class Route:
    """A route whose tag has been made or verified: its bytes, read where somebody asks.

    Attributes:
        raw: The 21 bytes.
    """

    raw: bytes

    @property
    def target(self) -> Target:
        """Who it leads to."""
        return Target.unpack(self.raw[TARGET])

    @property
    def cluster(self) -> int:
        """The target's cluster."""
        return self.raw[1] << 8 | self.raw[2]

    @property
    def expiry(self) -> int:
        """When it stops opening new flows: Unix time in units of 64 s, modulo 2**16."""
        return self.raw[7] << 8 | self.raw[8]

    @property
    def nonce(self) -> bytes:
        """4 random bytes that make the session's ufrag its own."""
        return self.raw[9:_SIGNED_SIZE]

    @property
    def key_slot(self) -> int:
        """The slot of the key that signed it, 0 to 6."""
        return self.raw[0] >> 3 & 7

    @property
    def flags(self) -> int:
        """Three bits, reserved."""
        return self.raw[0] & 7

    @property
    def ufrag(self) -> str:
        """The route as an ICE ufrag of 28 characters."""
        return base64.b64encode(self.raw).decode("ascii")

    def expired(self, now: float) -> bool:
        """Whether it may no longer open a flow, at Unix time `now` (RFC 1982 arithmetic)."""
        return (self.expiry - _units(now)) % _EXPIRY_MODULUS >= _EXPIRY_MODULUS // 2


def mint(target: Target, keys: KeyRing, *, now: float, lifetime: float, nonce: bytes) -> Route:
    """Make a route and sign it with the ring's signing key.

    Args:
        target: Who it leads to.
        keys: The cluster's keys.
        now: Unix time in seconds.
        lifetime: For how long it opens new flows, in seconds, at most 20 days.
        nonce: 4 random bytes.

    Raises:
        ValueError: A field does not fit.
    """
    if not (0 <= target.cluster < 1 << 16 and 0 <= target.slot < 1 << 24):
        raise ValueError(f"{target} is no target: clusters have 16 bits, slots 24")
    if not 0 <= target.generation < 1 << 8:
        raise ValueError(f"{target} is no target: a generation has 8 bits")
    if not 0 < lifetime <= MAX_LIFETIME:
        raise ValueError(f"a route lives for more than 0 and at most {MAX_LIFETIME:.0f} seconds")
    if len(nonce) != NONCE_SIZE:
        raise ValueError(f"a nonce has {NONCE_SIZE} bytes")
    # One unit more, so that rounding never shortens the lifetime.
    expiry = (_units(now + lifetime) + 1) % _EXPIRY_MODULUS
    head = bytes([VERSION << 6 | keys.signing_slot << 3])
    signed = head + target.packed + expiry.to_bytes(2, "big") + nonce
    key = keys.route_key(target.cluster, keys.signing_slot)
    return decode(signed + tag(key, signed))


def decode(raw: bytes) -> Route:
    """Take the 21 bytes of a route without verifying it.

    For bytes that were verified before: what comes from outside goes through `open_raw`.
    """
    return Route(raw)


def open_ufrag(ufrag: str | bytes, keys: KeyRing) -> Route:
    """Read a ufrag and verify its tag. Its expiry is for the caller to check.

    Raises:
        RouteFormatError: It is not 28 characters of the ICE alphabet, or has another version.
        RouteKeyError: Its key slot holds no key.
        RouteTagError: Its tag does not verify.
    """
    return verify(read_ufrag(ufrag), keys)


def read_ufrag(ufrag: str | bytes) -> Route:
    """Read a ufrag without verifying anything: what it says may be a lie.

    Raises:
        RouteFormatError: It is not 28 characters of the ICE alphabet, or has another version.
    """
    if len(ufrag) != UFRAG_SIZE:
        raise RouteFormatError(f"a route has {UFRAG_SIZE} characters, not {len(ufrag)}")
    try:
        raw = binascii.a2b_base64(ufrag, strict_mode=True)
    except ValueError:
        raise RouteFormatError("a route has only the characters A-Z a-z 0-9 + /") from None
    if len(raw) != RAW_SIZE:  # padding is base64, but not of the ICE alphabet
        raise RouteFormatError("a route has no padding")
    return _read_raw(raw)


def open_raw(raw: bytes, keys: KeyRing) -> Route:
    """Verify the 21 bytes of a route, as `open_ufrag` does.

    Raises:
        RouteFormatError: There are not 21 bytes, or they have another version.
        RouteKeyError: The key slot holds no key.
        RouteTagError: The tag does not verify.
    """
    if len(raw) != RAW_SIZE:
        raise RouteFormatError(f"a route has {RAW_SIZE} bytes, not {len(raw)}")
    return verify(_read_raw(raw), keys)


def open_kept(raw: bytes, keys: KeyRing) -> Route:
    """Verify the 21 bytes of the route of a flow that was set up before, perhaps long ago.

    The key that signed it may have left since; what vouches for the flow is then whoever says that
    it was set up, by a tag of his own.

    Raises:
        RouteFormatError: There are not 21 bytes, or they have another version.
        RouteTagError: Its key is here, and its tag does not verify.
        RouteKeyError: No key can have signed it.
    """
    try:
        return open_raw(raw, keys)
    except RouteKeyError:
        route = decode(raw)
        if route.key_slot == UNROUTABLE_SLOT or route.key_slot in keys.slots:
            raise
        return route


def verify(route: Route, keys: KeyRing) -> Route:
    """The same route, when one of the cluster's keys has made its tag.

    Raises:
        RouteKeyError: The key slot holds no key.
        RouteTagError: The tag does not verify.
    """
    slot, raw = route.key_slot, route.raw
    if slot == UNROUTABLE_SLOT or slot not in keys.slots:
        raise RouteKeyError(f"key slot {slot} holds no key")
    try:
        key = keys.route_key(route.cluster, slot)
    except KeyError:
        raise RouteKeyError(f"there is no key of cluster {route.cluster}") from None
    if not hmac.compare_digest(tag(key, raw[:_SIGNED_SIZE]), raw[_SIGNED_SIZE:]):
        raise RouteTagError("the route's tag does not verify")
    return route


def _read_raw(raw: bytes) -> Route:
    if raw[0] >> 6 != VERSION:
        raise RouteFormatError(f"route version {raw[0] >> 6} is unknown")
    return decode(raw)


def _units(seconds: float) -> int:
    return int(seconds // EXPIRY_UNIT)
