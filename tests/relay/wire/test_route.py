import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.errors import RouteError, RouteFormatError, RouteKeyError, RouteTagError
from relay.wire.keys import KeyRing
from relay.wire.keysource import UNROUTABLE_SLOT, Role
from relay.wire.route import (
    EXPIRY_UNIT,
    MAX_LIFETIME,
    NONCE_SIZE,
    RAW_SIZE,
    UFRAG_SIZE,
    Route,
    Target,
    decode,
    mint,
    open_kept,
    open_raw,
    open_ufrag,
)
from relay.wire.siphash import TAG_SIZE, tag

ICE_ALPHABET = string.ascii_letters + string.digits + "+/"
KEYS = KeyRing({0: bytes(range(32)), 3: bytes(range(32, 64)), 6: bytes(32)}, signing_slot=3)
NOW = 1_795_381_747.0
TARGET = Target(cluster=0x0102, slot=0x030405, generation=0x06)
NONCE = b"\xaa\xbb\xcc\xdd"

TARGETS = st.builds(Target, st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFF), st.integers(0, 0xFF))
NONCES = st.binary(min_size=NONCE_SIZE, max_size=NONCE_SIZE)
TIMES = st.floats(0, 2**36)
LIFETIMES = st.floats(0.001, MAX_LIFETIME)
SIGNED_SIZE = RAW_SIZE - TAG_SIZE


def minted(now: float = NOW, lifetime: float = 3600) -> Route:
    return mint(TARGET, KEYS, now=now, lifetime=lifetime, nonce=NONCE)


def signed(head: bytes, key_slot: int) -> bytes:
    """Bytes that only a holder of the key can make, whatever they say."""
    return head + tag(KEYS.route_key(int.from_bytes(head[1:3], "big"), key_slot), head)


class TestFormat:
    def test_the_bytes_lie_where_the_design_says(self) -> None:
        raw = minted().raw
        expiry = (int((NOW + 3600) // EXPIRY_UNIT) + 1) % 0x10000
        head = bytes([3 << 3]) + bytes.fromhex("010203040506") + expiry.to_bytes(2, "big") + NONCE
        assert raw[:SIGNED_SIZE] == head
        assert raw[SIGNED_SIZE:] == tag(KEYS.route_key(TARGET.cluster, 3), head)

    def test_the_ufrag_never_changes_between_releases(self) -> None:
        keys = KeyRing({0: bytes(range(32))}, signing_slot=0)
        route = mint(Target(1, 2, 3), keys, now=NOW, lifetime=3600, nonce=NONCE)
        assert route.ufrag == "AAABAAACAw2hqrvM3Z4FmLG09vs6"

    @given(TARGETS, TIMES, LIFETIMES, NONCES)
    def test_mint_and_open(self, target: Target, now: float, lifetime: float, nonce: bytes) -> None:
        route = mint(target, KEYS, now=now, lifetime=lifetime, nonce=nonce)
        assert (route.target, route.nonce, route.key_slot, route.flags) == (target, nonce, 3, 0)
        assert open_ufrag(route.ufrag, KEYS) == route
        assert open_ufrag(route.ufrag.encode(), KEYS) == route
        assert open_raw(route.raw, KEYS) == route

    @given(TARGETS, NONCES)
    def test_a_ufrag_is_what_ice_allows(self, target: Target, nonce: bytes) -> None:
        # RFC 8839, section 5.4: at most 32 characters when sending, of the ICE alphabet.
        ufrag = mint(target, KEYS, now=NOW, lifetime=60, nonce=nonce).ufrag
        assert len(ufrag) == UFRAG_SIZE <= 32
        assert set(ufrag) <= set(ICE_ALPHABET)

    @given(st.binary(min_size=RAW_SIZE, max_size=RAW_SIZE))
    def test_decode_reads_every_bit(self, raw: bytes) -> None:
        route = decode(raw)
        head = bytes([raw[0] & 0xC0 | route.key_slot << 3 | route.flags])
        target = route.target.cluster.to_bytes(2, "big") + route.target.slot.to_bytes(3, "big")
        fields = head + target + bytes([route.target.generation])
        fields += route.expiry.to_bytes(2, "big") + route.nonce
        assert fields + raw[SIGNED_SIZE:] == raw == route.raw

    def test_flags_are_carried_for_a_release_that_knows_them(self) -> None:
        head = bytearray(minted().raw[:SIGNED_SIZE])
        head[0] |= 0b101
        assert open_raw(signed(bytes(head), 3), KEYS).flags == 0b101

    def test_a_target_is_written_for_people(self) -> None:
        assert str(Target(1, 20, 3)) == "1/20.3"
        assert Target.parse("1/20.3") == Target(1, 20, 3)

    @pytest.mark.parametrize(
        "text", ["", "1/20", "1/20.3 ", "1/20.3.4", "-1/2.3", "1/2.x", "²/2.3"]
    )
    def test_what_is_no_target_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"is not cluster/slot\.generation"):
            Target.parse(text)


class TestMint:
    @pytest.mark.parametrize(
        "target",
        [
            *(Target(1 << 16, 0, 0), Target(-1, 0, 0)),
            *(Target(0, 1 << 24, 0), Target(0, -1, 0)),
            *(Target(0, 0, 1 << 8), Target(0, 0, -1)),
        ],
        ids=str,
    )
    def test_a_target_that_does_not_fit_is_refused(self, target: Target) -> None:
        with pytest.raises(ValueError, match="is no target"):
            mint(target, KEYS, now=NOW, lifetime=60, nonce=NONCE)

    @pytest.mark.parametrize("lifetime", [0, -1, MAX_LIFETIME + 1, float("inf"), float("nan")])
    def test_a_lifetime_beyond_the_serial_numbers_is_refused(self, lifetime: float) -> None:
        with pytest.raises(ValueError, match="a route lives for"):
            minted(lifetime=lifetime)

    @pytest.mark.parametrize("size", [0, 3, 5])
    def test_a_nonce_of_another_size_is_refused(self, size: int) -> None:
        with pytest.raises(ValueError, match="nonce"):
            mint(TARGET, KEYS, now=NOW, lifetime=60, nonce=bytes(size))


GOOD = minted().ufrag


class TestForgery:
    @pytest.mark.parametrize("byte", range(UFRAG_SIZE))
    def test_every_flipped_bit_of_the_text_is_refused(self, byte: int) -> None:
        for bit in range(8):
            flipped = bytearray(GOOD.encode())
            flipped[byte] ^= 1 << bit
            with pytest.raises(RouteError):
                open_ufrag(bytes(flipped), KEYS)

    @pytest.mark.parametrize("byte", range(RAW_SIZE))
    def test_every_flipped_bit_of_the_bytes_is_refused(self, byte: int) -> None:
        for bit in range(8):
            flipped = bytearray(minted().raw)
            flipped[byte] ^= 1 << bit
            with pytest.raises(RouteError):
                open_raw(bytes(flipped), KEYS)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "AAAA",
            GOOD[:-1],
            GOOD + "A",
            GOOD + "AAAA",
            "A" * 256,
            GOOD[:-1] + "=",
            GOOD[:-2] + "==",
            GOOD[:10] + "=" + GOOD[11:],
            GOOD[:-1] + "\0",
            "\0" + GOOD[1:],
            GOOD[:-1] + "\n",
            " " + GOOD[1:],
            GOOD[:5] + "-" + GOOD[6:],
            GOOD[:5] + "_" + GOOD[6:],
            GOOD[:5] + ":" + GOOD[6:],
            GOOD[:-1] + "é",
            GOOD[:-1] + "\udcff",
            "é" * 14,
        ],
        ids=ascii,
    )
    @pytest.mark.parametrize("as_bytes", [False, True], ids=["str", "bytes"])
    def test_text_that_is_no_ufrag_of_ours(self, text: str, as_bytes: bool) -> None:
        with pytest.raises(RouteFormatError):
            open_ufrag(text.encode("utf-8", "surrogatepass") if as_bytes else text, KEYS)

    @given(st.text(max_size=40) | st.text(min_size=UFRAG_SIZE, max_size=UFRAG_SIZE))
    def test_random_text(self, text: str) -> None:
        with pytest.raises(RouteError):
            open_ufrag(text, KEYS)

    @given(st.binary(max_size=40) | st.binary(min_size=UFRAG_SIZE, max_size=UFRAG_SIZE))
    def test_random_bytes(self, data: bytes) -> None:
        with pytest.raises(RouteError):
            open_ufrag(data, KEYS)

    @given(st.text(ICE_ALPHABET, min_size=UFRAG_SIZE, max_size=UFRAG_SIZE))
    def test_a_guess_of_the_right_shape(self, text: str) -> None:
        with pytest.raises(RouteError):
            open_ufrag(text, KEYS)
        # One spelling: the bytes of a text have no other text.
        assert base64.b64encode(base64.b64decode(text)).decode() == text

    @pytest.mark.parametrize("size", [0, RAW_SIZE - 1, RAW_SIZE + 1])
    def test_raw_bytes_of_another_size(self, size: int) -> None:
        with pytest.raises(RouteFormatError, match="21 bytes"):
            open_raw(bytes(size), KEYS)

    @pytest.mark.parametrize("version", [1, 2, 3])
    def test_another_version_even_when_signed(self, version: int) -> None:
        head = bytes([version << 6 | 3 << 3]) + minted().raw[1:SIGNED_SIZE]
        with pytest.raises(RouteFormatError, match=f"version {version}"):
            open_raw(signed(head, 3), KEYS)

    @pytest.mark.parametrize("slot", [1, 2, 4, 5, UNROUTABLE_SLOT])
    def test_a_key_slot_without_a_key(self, slot: int) -> None:
        head = bytes([slot << 3]) + minted().raw[1:SIGNED_SIZE]
        with pytest.raises(RouteKeyError, match=f"key slot {slot}"):
            open_raw(signed(head, 3), KEYS)

    def test_the_tag_is_of_the_slot_that_the_route_names(self) -> None:
        head = bytes([0 << 3]) + minted().raw[1:SIGNED_SIZE]
        with pytest.raises(RouteTagError):
            open_raw(signed(head, 3), KEYS)
        assert open_raw(signed(head, 0), KEYS).key_slot == 0

    def test_the_tag_is_of_the_cluster_that_the_route_names(self) -> None:
        head = minted().raw[:SIGNED_SIZE]
        forged = head + tag(KEYS.route_key(TARGET.cluster + 1, 3), head)
        with pytest.raises(RouteTagError):
            open_raw(forged, KEYS)


class TestRotation:
    OLD, NEW = bytes(range(32)), bytes(range(32, 64))

    def test_a_relay_with_both_keys_takes_routes_of_both(self) -> None:
        before = KeyRing({0: self.OLD}, signing_slot=0)
        after = KeyRing({0: self.OLD, 1: self.NEW}, signing_slot=1)
        for ring in (before, after):
            route = mint(TARGET, ring, now=NOW, lifetime=60, nonce=NONCE)
            assert open_ufrag(route.ufrag, after) == route

    def test_a_retired_key_and_one_that_came_too_early_are_refused(self) -> None:
        old, new = KeyRing({0: self.OLD}, 0), KeyRing({1: self.NEW}, 1)
        for signing, verifying in ((old, new), (new, old)):
            route = mint(TARGET, signing, now=NOW, lifetime=60, nonce=NONCE)
            with pytest.raises(RouteKeyError):
                open_ufrag(route.ufrag, verifying)

    def test_a_slot_with_a_new_key_forgets_the_routes_of_the_old_one(self) -> None:
        route = mint(TARGET, KeyRing({0: self.OLD}, 0), now=NOW, lifetime=60, nonce=NONCE)
        with pytest.raises(RouteTagError):
            open_ufrag(route.ufrag, KeyRing({0: self.NEW}, 0))


class TestExpiry:
    """Serial numbers of 16 bits (RFC 1982), in units of 64 s: they wrap every 48.5 days."""

    WRAP = (int(NOW // EXPIRY_UNIT) // 0x10000 + 1) * 0x10000 * EXPIRY_UNIT
    HALF = 0x8000 * EXPIRY_UNIT

    @given(TIMES, LIFETIMES, st.floats(0, 1))
    def test_it_lives_for_its_lifetime_at_least(
        self, now: float, lifetime: float, part: float
    ) -> None:
        route = minted(now, lifetime)
        assert not route.expired(now + lifetime * part)

    @given(TIMES, LIFETIMES, st.floats(0, 1))
    def test_it_expires_two_units_later_at_most_and_stays_so_for_weeks(
        self, now: float, lifetime: float, part: float
    ) -> None:
        route = minted(now, lifetime)
        past = now + lifetime + 2 * EXPIRY_UNIT
        assert route.expired(past + part * (self.HALF - 3 * EXPIRY_UNIT))

    @pytest.mark.parametrize("before", [0, 1, EXPIRY_UNIT, 3599, 3600], ids="{} s".format)
    def test_a_lifetime_across_the_wrap(self, before: float) -> None:
        now = self.WRAP - before
        route = minted(now, 3600)
        for after, expired in ((0, False), (3600, False), (3600 + 2 * EXPIRY_UNIT, True)):
            assert route.expired(now + after) is expired

    @pytest.mark.parametrize("error", [-86_400, -300, 0, 300], ids="{} s".format)
    def test_a_clock_that_is_slow_or_little_fast_still_opens_flows(self, error: float) -> None:
        assert not minted(lifetime=4 * 3600).expired(NOW + error)

    def test_a_clock_that_is_a_day_fast_refuses_new_flows(self) -> None:
        assert minted(lifetime=4 * 3600).expired(NOW + 86_400)

    def test_the_expiry_is_under_the_tag(self) -> None:
        raw = bytearray(minted().raw)
        raw[7:9] = ((int.from_bytes(raw[7:9], "big") + 100) % 0x10000).to_bytes(2, "big")
        with pytest.raises(RouteTagError):
            open_raw(bytes(raw), KEYS)


class TestKept:
    """The route of a flow that was set up before."""

    OLD = KeyRing({0: bytes(range(32))}, signing_slot=0)

    def test_it_is_taken_when_its_key_has_left(self) -> None:
        route = mint(TARGET, self.OLD, now=NOW, lifetime=60, nonce=NONCE)
        assert open_kept(route.raw, self.OLD) == route
        assert open_kept(route.raw, KeyRing({1: bytes(32)}, signing_slot=1)) == route

    def test_it_is_verified_while_its_key_is_there(self) -> None:
        route = mint(TARGET, self.OLD, now=NOW, lifetime=60, nonce=NONCE)
        with pytest.raises(RouteTagError):
            open_kept(route.raw, KeyRing({0: bytes(32)}, signing_slot=0))

    def test_one_that_no_key_can_have_signed_is_refused(self) -> None:
        with pytest.raises(RouteKeyError):
            open_kept(bytes([UNROUTABLE_SLOT << 3]) + bytes(20), self.OLD)
        with pytest.raises(RouteFormatError):
            open_kept(bytes(20), self.OLD)


def test_the_keys_of_one_cluster_open_no_route_of_another() -> None:
    keys = KEYS.exported(TARGET.cluster, Role.TRANSCEIVER)
    ours = mint(TARGET, keys, now=NOW, lifetime=60, nonce=NONCE)
    assert open_ufrag(ours.ufrag, KEYS) == ours
    others = TARGET._replace(cluster=TARGET.cluster + 1)
    theirs = mint(others, KEYS, now=NOW, lifetime=60, nonce=NONCE)
    with pytest.raises(RouteKeyError, match="no key of cluster"):
        open_ufrag(theirs.ufrag, keys)
    # Nor can they forge one, by any of their keys.
    forged = theirs.raw[:13] + tag(
        keys.route_key(TARGET.cluster, keys.signing_slot), theirs.raw[:13]
    )
    with pytest.raises(RouteTagError):
        open_raw(forged, KEYS)
