import itertools
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.errors import KeyFileError
from relay.wire.keys import MASTER_SIZE, SLOTS, UNROUTABLE_SLOT, KeyRing
from relay.wire.siphash import KEY_SIZE

MASTER = bytes(range(MASTER_SIZE))
HEX = MASTER.hex()
OTHER = MASTER[::-1]

MASTERS = st.dictionaries(
    st.sampled_from(SLOTS), st.binary(min_size=MASTER_SIZE, max_size=MASTER_SIZE), min_size=1
)


@given(MASTERS, st.data())
def test_a_key_file_reads_back_as_the_same_ring(
    masters: dict[int, bytes], data: st.DataObject
) -> None:
    ring = KeyRing(masters, data.draw(st.sampled_from(sorted(masters))))
    again = KeyRing.of(tomllib.loads(ring.dumps()))
    assert again.dumps() == ring.dumps()
    assert (again.slots, again.signing_slot) == (frozenset(masters), ring.signing_slot)
    for slot in masters:
        assert again.route_key(9, slot) == ring.route_key(9, slot)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "signing = SLOT"),
        ("signing = 0", r"\[keys\]"),
        (f'[keys]\n0 = "{HEX}"', "signing"),
        (f'signing = "0"\n[keys]\n0 = "{HEX}"', "signing"),
        (f'signing = true\n[keys]\n1 = "{HEX}"', "signing"),
        ("signing = 0\nkeys = 5", "signing = SLOT"),
        (f'signing = 1\n[keys]\n0 = "{HEX}"', "signing key slot 1 holds no key"),
        ("signing = 0\n[keys]", "signing key slot 0 holds no key"),
        (f'signing = 7\n[keys]\n7 = "{HEX}"', "key slot 7 does not exist: use 0 to 6"),
        (f'signing = -1\n[keys]\n-1 = "{HEX}"', "use 0 to 6"),
        (f'signing = 0\n[keys]\n00 = "{HEX}"', "use 0 to 6"),
        (f'signing = 0\n[keys]\nx = "{HEX}"', "use 0 to 6"),
        (f'signing = 0\n[keys]\n"" = "{HEX}"', "use 0 to 6"),
        (f'signing = 0\n[keys]\n"٣" = "{HEX}"', "use 0 to 6"),
        ('signing = 0\n[keys]\n0 = ""', "key 0 has 0 bytes: it needs 32"),
        (f'signing = 0\n[keys]\n0 = "{HEX[:-2]}"', "key 0 has 31 bytes"),
        (f'signing = 0\n[keys]\n0 = "{HEX}00"', "key 0 has 33 bytes"),
        (f'signing = 0\n[keys]\n0 = "{HEX[:-1]}"', "hex digits"),
        (f'signing = 0\n[keys]\n0 = "{"g" * 64}"', "hex digits"),
        ("signing = 0\n[keys]\n0 = 5", "hex digits"),
    ],
)
def test_a_bad_key_file_is_refused_in_words(text: str, says: str) -> None:
    with pytest.raises(KeyFileError, match=says):
        KeyRing.of(tomllib.loads(text))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=70),
    lambda inner: st.dictionaries(st.sampled_from(["0", "1", "7", "x", ""]), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["signing", "keys", "other"]), VALUES))
def test_any_document_raises_only_the_documented_error(document: dict[str, object]) -> None:
    with pytest.raises(KeyFileError):
        KeyRing.of(document)


def test_generate_takes_its_randomness_from_the_caller() -> None:
    ring = KeyRing.generate(lambda size: MASTER[:size])
    assert ring.dumps() == KeyRing({0: MASTER}, signing_slot=0).dumps()
    assert ring.slots == {0}


def test_every_purpose_cluster_and_slot_has_a_key_of_its_own() -> None:
    # The same master in both slots: only the derivation keeps the keys apart.
    ring = KeyRing({0: MASTER, 1: MASTER}, signing_slot=0)
    purposes = (ring.route_key, ring.announcement_key, ring.mirror_key)
    keys = [
        key(cluster, slot)
        for key, cluster, slot in itertools.product(purposes, (0, 1, 256), (0, 1))
    ]
    keys += [ring.port_key(cluster) for cluster in (0, 1, 256)]
    assert len(set(keys)) == len(keys) == 3 * 3 * 2 + 3
    assert {len(key) for key in keys} == {KEY_SIZE}


def test_derived_keys_never_change() -> None:
    # A change would make every relay of one release deaf to the routes of another.
    ring = KeyRing({0: MASTER}, signing_slot=0)
    assert ring.route_key(1, 0).hex() == "30feab22056d3463dd743847555ec3c8"
    assert ring.announcement_key(1, 0).hex() == "4ed2c45668e33d4e67a662614ec601b9"
    assert ring.mirror_key(1, 0).hex() == "7a1fcebd61c3564a27d27b98ddaf11f4"
    assert ring.port_key(1).hex() == "c2ba92adb37c2678fde5f35c1156eeb7"


def test_a_slot_without_a_key_derives_nothing() -> None:
    ring = KeyRing({0: MASTER}, signing_slot=0)
    for slot in (1, UNROUTABLE_SLOT):
        with pytest.raises(KeyError):
            ring.route_key(1, slot)


def test_choosing_another_signing_key_moves_no_port() -> None:
    before = KeyRing({0: MASTER, 1: OTHER}, signing_slot=0)
    after = KeyRing({0: MASTER, 1: OTHER}, signing_slot=1)
    assert before.port_key(4) == after.port_key(4)
