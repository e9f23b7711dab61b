import itertools
import tomllib

import pytest

from relay.wire.errors import KeyFileError
from relay.wire.keysource import (
    MASTER_SIZE,
    SLOTS,
    SPREADING,
    UNROUTABLE_SLOT,
    ClusterKeys,
    Masters,
    Purpose,
    Role,
    new_master,
)
from relay.wire.siphash import KEY_SIZE

MASTER, OTHER, SPREAD = (bytes([number]) * MASTER_SIZE for number in (1, 2, 3))
MASTERS = Masters({0: MASTER, 4: OTHER}, SPREAD, {0: 1_795_000_000})


def document(source: Masters | ClusterKeys) -> dict[str, object]:
    return tomllib.loads("\n".join(source.lines()))


def test_three_bits_name_a_slot_and_the_last_one_is_no_key() -> None:
    assert (UNROUTABLE_SLOT, list(SLOTS)) == (7, [0, 1, 2, 3, 4, 5, 6])
    assert new_master(lambda size: b"x" * size) == b"x" * MASTER_SIZE


def test_what_is_written_reads_back() -> None:
    assert Masters.of(document(MASTERS)) == MASTERS
    for role in Role:
        keys = ClusterKeys.derived(MASTERS, 7, role)
        assert ClusterKeys.of(document(keys)) == keys


def test_every_purpose_cluster_and_slot_has_a_key_of_its_own() -> None:
    # The same master in both slots: only the derivation keeps the keys apart.
    same = Masters({0: MASTER, 1: MASTER}, MASTER)
    slotted = [each for each in Purpose if each not in SPREADING]
    clusters = (0, 1, 256)
    keys = [same.derive(*each) for each in itertools.product(slotted, clusters, (0, 1))]
    keys += [same.spread(*each) for each in itertools.product(SPREADING, clusters)]
    assert len(set(keys)) == len(keys) == 5 * 3 * 2 + 2 * 3
    assert {len(key) for key in keys} == {KEY_SIZE}


@pytest.mark.parametrize("role", Role)
def test_the_keys_of_one_cluster_are_those_of_the_masters_and_open_no_other(role: Role) -> None:
    keys = ClusterKeys.derived(MASTERS, 7, role)
    assert keys.slots == MASTERS.slots
    for purpose in Purpose:
        if purpose not in role.purposes:
            with pytest.raises(KeyError):
                keys.derive(purpose, 7, 4)
        elif purpose in SPREADING:
            assert keys.spread(purpose, 7) == MASTERS.spread(purpose, 7)
        else:
            assert keys.derive(purpose, 7, 4) == MASTERS.derive(purpose, 7, 4)
    for lookup in (keys.derive(role.purposes[0], 7, 4),):
        assert lookup not in (MASTER, OTHER, SPREAD)
    with pytest.raises(KeyError):
        keys.derive(role.purposes[0], 8, 4)
    text = "\n".join(keys.lines())
    assert not [secret for secret in (MASTER, OTHER, SPREAD) if secret.hex() in text]


def test_only_a_relay_can_write_records_of_flows() -> None:
    assert Purpose.MIRROR in Role.RELAY.purposes
    assert Purpose.MIRROR not in Role.TRANSCEIVER.purposes + Role.SIGNALING.purposes
    assert Purpose.ROUTE not in Role.SIGNALING.purposes


def test_an_edge_has_what_it_signs_with_alone_and_transceivers_have_not_that() -> None:
    assert Role.EDGE.purposes == (Purpose.EDGE,)
    assert Purpose.EDGE in Role.RELAY.purposes
    assert Purpose.EDGE not in Role.TRANSCEIVER.purposes + Role.SIGNALING.purposes


def test_without_a_spread_secret_the_lowest_slot_spreads() -> None:
    """As it did before there was one: upgrading moves no flow to another port."""
    assert Masters({2: MASTER, 5: OTHER}).spreading == MASTER


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"cluster": "1"}, "cluster must be a number"),
        ({"cluster": 65536}, "cluster must be a number"),
        ({"cluster": True}, "cluster must be a number"),
        ({"for": "nobody"}, "one of relay, transceiver, signaling"),
        ({"for": None}, "one of relay"),
        ({"keys": {"0": "00" * 16}}, "key 0 is not a table"),
        ({"keys": {"0": {"route": "00" * 16}}}, "key 0, announcement, is not a text"),
        ({"keys": {"7": {}}}, "key slot 7 does not exist"),
        ({"spread": 5}, "spread is not a table"),
        ({"spread": {"port": "00", "share": "00" * 16}}, "spread, port, has 1 bytes: it needs 16"),
    ],
)
def test_a_bad_file_of_one_cluster_is_refused_in_words(
    changed: dict[str, object], says: str
) -> None:
    good = document(ClusterKeys.derived(MASTERS, 7, Role.RELAY))
    with pytest.raises(KeyFileError, match=says):
        ClusterKeys.of(good | changed)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"spread": "00"}, "the spread secret has 1 bytes"),
        ({"spread": 7}, "the spread secret is not a text of hex digits"),
        ({"stopped": {"0": "then"}}, r"\[stopped\]"),
        ({"stopped": 5}, r"\[stopped\]"),
        ({"stopped": {"x": 5}}, "no key slot"),
    ],
)
def test_a_bad_file_of_masters_is_refused_in_words(changed: dict[str, object], says: str) -> None:
    with pytest.raises(KeyFileError, match=says):
        Masters.of(document(MASTERS) | changed)
