import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.registry import Relay, Transceiver
from relay.registry.entry import Entry, EntryError, Heartbeat, RelayEntry, TransceiverEntry
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target

KEYS = KeyRing({0: bytes(range(32)), 3: bytes(32)}, 3)
MEDIA, CONTROL = Endpoint("10.0.0.2", 5000), Endpoint("10.0.0.2", 9000)
TRANSCEIVER = TransceiverEntry(Target(1, 7, 3), MEDIA, CONTROL, 4, 70, False, "eu")
VIP = Endpoint("203.0.113.10", 3478)
HEALTH = Endpoint("10.0.0.6", 9100)
RELAY = RelayEntry(1, "fra-1", (Relay(VIP, (), (VIP,), "fra-1", "eu"),), 5, 100, region="eu")


def resigned(line: bytes, **changes: object) -> bytes:
    """The same entry with other fields, signed by who has the key."""
    fields: dict[str, Any] = json.loads(line.partition(b" ")[2]) | changes

    class Made:
        cluster = 1

        def as_fields(self) -> dict[str, Any]:
            return fields

    return Heartbeat(Made(), fields["beat"], fields["gone"]).serialize(KEYS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "entry",
    [TRANSCEIVER, replace(TRANSCEIVER, region=None), RELAY, replace(RELAY, health=HEALTH)],
    ids=str,
)
@pytest.mark.parametrize("gone", [False, True])
def test_what_is_written_is_read(entry: Entry, gone: bool) -> None:
    heartbeat = Heartbeat(entry, 17, gone)
    assert Heartbeat.parse(heartbeat.serialize(KEYS), 1, KEYS) == heartbeat


def test_a_relay_of_an_earlier_release_does_not_tell_of_its_health() -> None:
    mac_and_text = Heartbeat(replace(RELAY, health=HEALTH), 1)
    fields = mac_and_text.entry.as_fields()
    del fields["health"]

    class Earlier:
        cluster = 1

        def as_fields(self) -> dict[str, Any]:
            return fields

    line = Heartbeat(Earlier(), 1).serialize(KEYS)  # type: ignore[arg-type]
    assert Heartbeat.parse(line, 1, KEYS).entry == RELAY


def test_an_operator_can_read_it() -> None:
    mac, _, text = Heartbeat(TRANSCEIVER, 1).serialize(KEYS).partition(b" ")
    assert len(mac) == 32
    assert json.loads(text)["address"] == "10.0.0.2:5000"


def test_it_verifies_under_every_key_that_the_reader_has() -> None:
    line = Heartbeat(TRANSCEIVER, 1).serialize(KEYS)
    later = KeyRing({3: bytes(32), 4: bytes([4]) * 32}, 4)
    assert Heartbeat.parse(line, 1, later).entry == TRANSCEIVER


@given(st.data())
def test_no_changed_byte_is_read(data: st.DataObject) -> None:
    line = bytearray(Heartbeat(TRANSCEIVER, 1).serialize(KEYS))
    place = data.draw(st.integers(0, len(line) - 1).filter(lambda place: place != 32))
    line[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(EntryError, match="tag"):
        Heartbeat.parse(bytes(line), 1, KEYS)


@given(st.binary(max_size=200))
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(EntryError):
        Heartbeat.parse(junk, 1, KEYS)


def test_without_the_key_nobody_writes_one() -> None:
    other = KeyRing({0: bytes([9]) * 32}, 0)
    with pytest.raises(EntryError, match="tag"):
        Heartbeat.parse(Heartbeat(TRANSCEIVER, 1).serialize(other), 1, KEYS)


def test_the_entry_of_another_cluster_does_not_verify() -> None:
    with pytest.raises(EntryError, match="tag"):
        Heartbeat.parse(Heartbeat(TRANSCEIVER, 1).serialize(KEYS), 2, KEYS)


def test_an_endless_entry_is_not_looked_at() -> None:
    with pytest.raises(EntryError, match="bytes"):
        Heartbeat.parse(bytes(9000), 1, KEYS)


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"kind": "toaster"},
        {"kind": []},
        {"cluster": 2},
        {"slot": 1 << 24},
        {"slot": True},
        {"generation": 256},
        {"address": "0.0.0.0:5000"},
        {"address": "[fe80::1]:5000"},
        {"address": "example.org:5000"},
        {"control": None},
        {"sessions": -1},
        {"draining": 1},
        {"region": ""},
        {"region": "a\nb"},
        {"beat": 1.5},
    ],
    ids=str,
)
def test_what_a_keyholder_writes_wrongly_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(EntryError):
        Heartbeat.parse(resigned(Heartbeat(TRANSCEIVER, 1).serialize(KEYS), **changes), 1, KEYS)


@pytest.mark.parametrize("count", [0, 17])
def test_a_relay_tells_one_address_or_as_many_as_an_answer_holds(count: int) -> None:
    told = [
        {"vip": f"203.0.113.{each}:1", "advertise": [], "tcp": []} for each in range(1, count + 1)
    ]
    with pytest.raises(EntryError, match="addresses"):
        Heartbeat.parse(resigned(Heartbeat(RELAY, 1).serialize(KEYS), vips=told), 1, KEYS)


def test_other_spellings_of_an_address_become_one_but_for_mapped_ones() -> None:
    line = resigned(Heartbeat(TRANSCEIVER, 1).serialize(KEYS), address="[FD00:0::0002]:5000")
    entry = Heartbeat.parse(line, 1, KEYS).entry
    assert entry.hosts[0] == Endpoint("fd00::2", 5000)
    line = resigned(Heartbeat(TRANSCEIVER, 1).serialize(KEYS), address="[::ffff:10.0.0.2]:5000")
    with pytest.raises(EntryError, match=r"IPv4-mapped address: write 10\.0\.0\.2:5000"):
        Heartbeat.parse(line, 1, KEYS)


def test_a_transceiver_is_one_of_the_registry() -> None:
    control = "http://10.0.0.2:9000"
    assert TRANSCEIVER.transceiver == Transceiver(Target(1, 7, 3), MEDIA, control, "eu")


@pytest.mark.parametrize(
    ("changes", "closed"),
    [({}, False), ({"draining": True}, True), ({"ill": True}, True), ({"flows": 100}, True)],
    ids=str,
)
def test_a_relay_is_closed_when_it_drains_is_ill_or_full(
    changes: dict[str, object], closed: bool
) -> None:
    assert replace(RELAY, **changes).closed is closed  # type: ignore[arg-type]
