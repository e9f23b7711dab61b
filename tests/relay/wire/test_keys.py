import pickle
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.errors import KeyFileError
from relay.wire.keys import KeyRing
from relay.wire.keysource import MASTER_SIZE, SLOTS, UNROUTABLE_SLOT, Masters, Role

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


@given(
    st.dictionaries(
        st.sampled_from(["signing", "keys", "cluster", "for", "spread", "stopped"]), VALUES
    )
)
def test_any_document_raises_only_the_documented_error(document: dict[str, object]) -> None:
    with pytest.raises(KeyFileError):
        KeyRing.of(document)


def test_generate_takes_its_randomness_from_the_caller() -> None:
    ring = KeyRing.generate(lambda size: MASTER[:size])
    assert ring.dumps() == KeyRing({0: MASTER}, signing_slot=0).dumps()
    assert ring.slots == {0}


def test_derived_keys_never_change() -> None:
    # A change would make every relay of one release deaf to the routes of another.
    ring = KeyRing({0: MASTER}, signing_slot=0)
    assert ring.route_key(1, 0).hex() == "30feab22056d3463dd743847555ec3c8"
    assert ring.announcement_keys(1, 0)[0].hex() == "4ed2c45668e33d4e67a662614ec601b9"
    assert ring.mirror_keys(1, 0)[0].hex() == "7a1fcebd61c3564a27d27b98ddaf11f4"
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


def rotation() -> list[KeyRing]:
    """The rings of a rotation, from a new file on: added, rotated, retired."""
    rings = [KeyRing(Masters({0: MASTER}, OTHER), signing_slot=0)]
    added, slot = rings[0].added(lambda size: bytes([7]) * size)
    assert slot == 1
    rotated = added.rotated(None, 1_795_000_000.5)
    return [*rings, added, rotated, rotated.retired(0)]


def test_a_rotation_has_two_keys_in_the_middle_and_the_old_one_signs_first() -> None:
    told = [(sorted(ring.slots), ring.signing_slot) for ring in rotation()]
    assert told == [([0], 0), ([0, 1], 0), ([0, 1], 1), ([1], 1)]
    assert rotation()[2].masters.stopped == {0: 1_795_000_000}  # type: ignore[union-attr]


def test_no_step_of_a_rotation_moves_a_port_or_a_client() -> None:
    assert len({ring.port_key(4) for ring in rotation()}) == 1
    assert len({ring.shard_seed(4) for ring in rotation()}) == 1
    # Nor in a file that has no secret of its own for it yet.
    old = KeyRing({0: MASTER}, signing_slot=0)
    retired = old.added(bytes)[0].rotated(None, 0.0).retired(0)
    again = KeyRing.of(tomllib.loads(retired.dumps()))
    assert (again.port_key(4), again.shard_seed(4)) == (old.port_key(4), old.shard_seed(4))


def test_a_slot_that_has_become_free_is_the_last_to_be_used_again() -> None:
    ring, used = KeyRing.generate(lambda size: MASTER[:size]), [0]
    for _ in range(8):
        ring, slot = ring.added(lambda size: MASTER[:size])
        used.append(slot)
        ring = ring.rotated(None, 0.0).retired(used[-2])
    assert used == [0, 1, 2, 3, 4, 5, 6, 0, 1]


@pytest.mark.parametrize(
    ("slot", "says"),
    [(0, "slot 0 signs already"), (5, "slot 5 holds no key"), (None, "icelane keys add")],
)
def test_what_cannot_sign_is_told(slot: int | None, says: str) -> None:
    with pytest.raises(KeyFileError, match=says):
        KeyRing({0: MASTER}, signing_slot=0).rotated(slot, 0.0)


def test_the_one_that_has_never_signed_is_meant_if_there_is_one() -> None:
    ring = KeyRing({0: MASTER, 1: OTHER, 2: OTHER}, signing_slot=0)
    with pytest.raises(KeyFileError, match=r"slots 1, 2 have never signed: name one with --slot"):
        ring.rotated(None, 0.0)
    assert ring.rotated(2, 0.0).rotated(None, 1.0).signing_slot == 1


def test_the_signing_key_and_none_cannot_be_retired_and_seven_are_the_most() -> None:
    ring = KeyRing(dict.fromkeys(SLOTS, MASTER), signing_slot=3)
    with pytest.raises(KeyFileError, match=r"slot 3 signs: .*icelane keys rotate"):
        ring.retired(3)
    with pytest.raises(KeyFileError, match="slot 9 holds no key"):
        ring.retired(9)
    with pytest.raises(KeyFileError, match="all slots hold a key"):
        ring.added(bytes)


def test_all_who_hold_a_ring_have_the_keys_that_it_takes() -> None:
    first, *_, last = rotation()
    held = first
    old = first.route_key(1, 0)
    first.take(last)
    assert held.route_key(1, 1) == last.route_key(1, 1) != old
    assert (sorted(held.slots), held.signing_slot) == ([1], 1)
    with pytest.raises(KeyError):
        held.route_key(1, 0)


def test_a_copy_stays_as_it_is() -> None:
    first, *_, last = rotation()
    copy = first.copy()
    first.take(last)
    assert copy.slots == {0}


@pytest.mark.parametrize("role", Role)
def test_an_exported_ring_is_the_same_for_its_cluster_here_and_in_another_process(
    role: Role,
) -> None:
    ring = rotation()[2]
    exported = ring.exported(9, role)
    for each in (exported, KeyRing.of(tomllib.loads(exported.dumps()))):
        again = pickle.loads(pickle.dumps(each))  # noqa: S301  # our own
        if role is Role.EDGE:
            assert again.edge_key(9, 1) == ring.edge_key(9, 1)
        else:
            assert again.registry_key(9, 1) == ring.registry_key(9, 1)
        assert (sorted(again.slots), again.signing_slot) == ([0, 1], 1)
        assert (again.masters, again.cluster.role) == (None, role)
    exported.require(role, [9])
    with pytest.raises(KeyFileError, match=r"keys of cluster 9 only, and those of 10, 11 are"):
        exported.require(role, [11, 9, 10])
    with pytest.raises(KeyFileError, match="change the file of master keys"):
        exported.retired(0)


def test_what_is_exported_is_for_its_service() -> None:
    ring = KeyRing({0: MASTER}, signing_slot=0)
    ring.exported(1, Role.RELAY).require(Role.TRANSCEIVER, [1])
    with pytest.raises(KeyFileError, match=r"keys of a transceiver.*--for relay"):
        ring.exported(1, Role.TRANSCEIVER).require(Role.RELAY, [1])
    with pytest.raises(KeyFileError, match="keys of a signaling"):
        ring.exported(1, Role.SIGNALING).exported(1, Role.TRANSCEIVER)


def test_what_is_said_of_a_flow_is_signed_by_its_routes_key_and_when_that_has_left_by_another() -> (
    None
):
    before, _, both, after = rotation()
    assert both.mirror_keys(1, 0)[0] == before.mirror_keys(1, 0)[0]
    assert after.mirror_keys(1, 0) == [both.mirror_keys(1, 1)[0]]
    # Who has not retired the old one, or has got a third one, still finds the one that signed.
    for ring in (both, after.added(bytes)[0]):
        assert after.announcement_keys(1, 0)[0] in ring.announcement_keys(1, 0)
    assert after.exported(1, Role.RELAY).announcement_keys(2, 1) == []


def test_records_and_what_is_of_all_clusters_are_of_the_relays_own_keys() -> None:
    ring = rotation()[2]
    exported = ring.exported(9, Role.RELAY)
    assert exported.mirror_keys(2, 1) == ring.mirror_keys(9, 1)
    assert [ring.home(each) for each in ((), (4, 3))] == [0, 3]
    assert exported.port_key(exported.home(())) == ring.port_key(9)


def test_an_edge_is_given_no_more_than_it_may_have() -> None:
    ring = KeyRing({0: MASTER}, signing_slot=0)
    ring.exported(1, Role.EDGE).require_only(Role.EDGE)
    for more in (ring, ring.exported(1, Role.RELAY)):
        with pytest.raises(KeyFileError, match=r"an edge must not have these.*export --for edge"):
            more.require_only(Role.EDGE)
    with pytest.raises(KeyFileError, match="keys of an edge, and a relay needs others"):
        ring.exported(1, Role.EDGE).require(Role.RELAY, [1])
