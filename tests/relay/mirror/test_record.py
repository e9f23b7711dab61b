import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.flowtuple import FlowTuple
from relay.mirror.record import LONGEST, MAC_SIZE, Record, RecordError, client_of, key_of
from relay.wire.announcement import MAX_EPOCH, Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.keysource import Role
from relay.wire.route import Target, mint
from relay.wire.transport import Transport

KEYS = KeyRing({0: bytes(range(32)), 1: bytes(32)}, signing_slot=1)
ROUTE = mint(Target(1, 2, 3), KEYS, now=1_795_381_747, lifetime=3600, nonce=b"1234")
CLIENT = Endpoint("203.0.113.2", 40000)
VIP = Endpoint("203.0.113.10", 3478)
UPSTREAM = Endpoint("192.0.2.1", 20417)
TRANSCEIVER = Endpoint("192.0.2.2", 5000)
RECORD = Record(
    FlowTuple(CLIENT, VIP, UPSTREAM, TRANSCEIVER, ROUTE.raw), "relay-a", 3, 1_795_381_747.5
)
VALUE = RECORD.serialize(KEYS)

ENDPOINTS = st.builds(
    lambda address, port: Endpoint.unpack(address + port.to_bytes(2, "big")),
    st.binary(min_size=16, max_size=16),
    st.integers(1, 0xFFFF),
)


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(VALUE) | fields).encode()


@given(
    st.tuples(ENDPOINTS, ENDPOINTS, ENDPOINTS, ENDPOINTS),
    st.text(min_size=1, max_size=64),
    st.integers(1, MAX_EPOCH),
    st.floats(0, 2**40),
)
def test_there_and_back(
    ends: tuple[Endpoint, Endpoint, Endpoint, Endpoint], owner: str, epoch: int, time: float
) -> None:
    record = Record(FlowTuple(*ends, ROUTE.raw), owner, epoch, time)
    assert Record.parse(*client_of(record.key), record.serialize(KEYS), KEYS) == record


@given(ENDPOINTS, ENDPOINTS, st.sampled_from(Transport), st.integers(1, MAX_EPOCH))
def test_what_an_edge_has_said_is_kept(
    client: Endpoint, vip: Endpoint, transport: Transport, epoch: int
) -> None:
    said = Announcement(client, vip, CLIENT, ROUTE.raw, 0.0, transport, epoch)
    record = replace(RECORD, introduced=said)
    assert Record.parse(CLIENT, VIP, record.serialize(KEYS), KEYS) == record


def test_an_operator_can_read_it() -> None:
    assert RECORD.key == "icelane:flow:203.0.113.10:3478|203.0.113.2:40000"
    fields = json.loads(VALUE)
    assert len(bytes.fromhex(fields.pop("mac"))) == 16
    assert fields == {
        "v": 2,
        "owner": "relay-a",
        "epoch": 3,
        "transceiver": "192.0.2.2:5000",
        "upstream": "192.0.2.1:20417",
        "route": ROUTE.ufrag,
        "time": 1_795_381_747.5,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"transceiver": "127.0.0.1:6379"},
        {"transceiver": "192.0.2.2:5001"},
        {"upstream": "192.0.2.1:20418"},
        {"route": mint(Target(1, 2, 3), KEYS, now=0, lifetime=60, nonce=b"abcd").ufrag},
        {"time": 1_795_381_748.5},
        {"time": "1795381747.5"},
        {"v": 3},
        {"owner": "relay-b"},
        {"epoch": 4},
        {"more": 1},
        {"mac": "00" * 16},
        {"mac": ""},
        {"mac": json.loads(VALUE)["mac"][:-2]},
        {"mac": json.loads(VALUE)["mac"] + "00"},
    ],
    ids=str,
)
def test_a_changed_record_does_not_verify(fields: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match="tag does not verify"):
        Record.parse(CLIENT, VIP, changed(**fields), KEYS)


@pytest.mark.parametrize(
    ("client", "vip"),
    [
        (CLIENT._replace(port=40001), VIP),
        (CLIENT, VIP._replace(port=443)),
        (VIP, CLIENT),
    ],
    ids=["client", "VIP", "swapped"],
)
def test_a_record_copied_to_another_key_does_not_verify(client: Endpoint, vip: Endpoint) -> None:
    with pytest.raises(RecordError, match="tag does not verify"):
        Record.parse(client, vip, VALUE, KEYS)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"null",
        b"5",
        b'"text"',
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        VALUE[:-1],
        changed(mac=5),
        changed(mac="xyz"),
        changed(route=None),
        changed(route=["A"] * 28),
        changed(route=ROUTE.ufrag[:-1]),
        changed(route="/" * 28),
        changed(upstream=None),
        changed(upstream={}),
        changed(upstream="here"),
        changed(transceiver="redis.example.org:6379"),
        changed(transceiver="[fe80::1%eth0]:5000"),
        changed(transceiver="192.0.2.2:" + "9" * 5000),
        changed(owner=None),
        changed(epoch=0),
        changed(epoch=3.0),
        changed(epoch=True),
        changed(epoch="3"),
        changed(epoch=MAX_EPOCH + 1),
        changed(time=None),
        changed(time="soon"),
        changed(time=10**400),
        changed(introduced="udp"),
        changed(introduced=["203.0.113.2:1", "203.0.113.10:3478", "sctp", 1]),
        changed(introduced=["203.0.113.2:1", "203.0.113.10:3478", "udp", 0]),
        changed(introduced=["here", "203.0.113.10:3478", "udp", 1]),
        changed(more={}),
        changed(more=[1, []]),
        changed(v=[{}]),
        changed(more="x" * LONGEST),
    ],
    ids=lambda value: ascii(value[:40]) + str(len(value)),
)
def test_a_malformed_record_is_refused(value: bytes) -> None:
    with pytest.raises(RecordError, match="malformed"):
        Record.parse(CLIENT, VIP, value, KEYS)


def test_what_is_nested_as_deep_as_can_be_read_is_refused() -> None:
    """It can be read, just, and not be written again, at a depth that depends on the caller's."""
    for depth in range(800, 1100):
        value = VALUE[:-1] + b', "more": ' + b"[" * depth + b"]" * depth + b"}"
        assert len(value) <= LONGEST
        with pytest.raises(RecordError):
            Record.parse(CLIENT, VIP, value, KEYS)


@pytest.mark.parametrize("more", [1, 1.5, "text", None, True, [], [1, "text"]], ids=repr)
def test_a_field_of_a_later_release_is_signed_as_any_other(more: object) -> None:
    fields = json.loads(VALUE) | {"more": more}
    fields.pop("mac")
    text = json.dumps([RECORD.key, fields], sort_keys=True).encode("ascii")
    mac = hmac.digest(KEYS.mirror_keys(1, 1)[0], text, "sha256")[:MAC_SIZE]
    value = json.dumps(fields | {"mac": mac.hex()}).encode()
    assert Record.parse(CLIENT, VIP, value, KEYS) == RECORD


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(json.loads(VALUE))), JSON, min_size=1))
def test_whatever_stands_in_redis_raises_only_the_documented_error(fields: dict[str, Any]) -> None:
    if json.loads(VALUE) | fields == json.loads(VALUE):
        return
    with pytest.raises(RecordError):
        Record.parse(CLIENT, VIP, changed(**fields), KEYS)


@given(st.binary(max_size=200))
def test_random_bytes_raise_only_the_documented_error(value: bytes) -> None:
    with pytest.raises(RecordError):
        Record.parse(CLIENT, VIP, value, KEYS)


def test_a_version_of_the_future_is_refused_even_when_signed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("relay.mirror.record.VERSION", 3)
        value = RECORD.serialize(KEYS)
    with pytest.raises(RecordError, match="version 3 is unknown"):
        Record.parse(CLIENT, VIP, value, KEYS)


@pytest.mark.parametrize("slot", [0, 1], ids=["another slot", "the same slot"])
def test_another_deployment_reads_nothing_and_writes_nothing(slot: int) -> None:
    others = KeyRing({slot: bytes(range(1, 33))}, signing_slot=slot)
    with pytest.raises(RecordError, match="tag does not verify"):
        Record.parse(CLIENT, VIP, VALUE, others)
    with pytest.raises(RecordError, match="tag does not verify"):
        Record.parse(CLIENT, VIP, RECORD.serialize(others), KEYS)


def test_an_edge_keeps_flows_of_clusters_whose_routes_it_cannot_verify() -> None:
    edge = KeyRing({0: bytes(range(1, 33))}, signing_slot=0)
    for keys in (edge, edge.exported(7, Role.RELAY)):
        assert Record.parse(CLIENT, VIP, RECORD.serialize(keys), keys) == RECORD


def test_a_flow_outlives_the_key_of_its_route() -> None:
    retired = KeyRing({0: bytes(range(32))}, signing_slot=0)
    value = RECORD.serialize(retired)
    assert Record.parse(CLIENT, VIP, value, retired) == RECORD
    assert Record.parse(CLIENT, VIP, value, KEYS) == RECORD  # who has not retired it yet
    with pytest.raises(RecordError, match="its tag does not verify"):
        Record.parse(CLIENT, VIP, VALUE, retired)  # which the key that has left signed
    with pytest.raises(RecordError, match="its tag does not verify"):
        Record.parse(CLIENT, VIP, value, KeyRing({5: bytes(32)}, signing_slot=5))


@given(ENDPOINTS, ENDPOINTS)
def test_a_key_names_its_client_and_vip(client: Endpoint, vip: Endpoint) -> None:
    assert client_of(key_of(client, vip)) == (client, vip)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "icelane:flow:",
        "203.0.113.10:3478|203.0.113.2:40000",
        "icelane:flow:203.0.113.10:3478",
        "icelane:flow:203.0.113.10:3478|",
        "icelane:flow:|203.0.113.2:40000",
        "icelane:flow:203.0.113.10:3478|203.0.113.2:40000|",
        "icelane:flow:203.0.113.10|203.0.113.2:40000",
        "icelane:flow:icelane:flow:203.0.113.10:3478|203.0.113.2:40000",
        "icelane:flow:\ufffd|203.0.113.2:40000",
    ],
)
def test_a_key_that_is_none(key: str) -> None:
    with pytest.raises(RecordError, match="not the key of a flow"):
        client_of(key)


@pytest.mark.parametrize("name", ["transceiver", "upstream"])
@pytest.mark.parametrize("address", ["[::ffff:192.0.2.2]:5000", "[::ffff:c000:202]:5000"])
def test_a_mapped_address_is_refused_though_it_is_signed(name: str, address: str) -> None:
    fields = json.loads(VALUE)
    fields.pop("mac")
    fields[name] = address
    text = json.dumps([RECORD.key, fields], sort_keys=True).encode("ascii")
    mac = hmac.digest(KEYS.mirror_keys(1, 1)[0], text, "sha256")[:MAC_SIZE]
    with pytest.raises(RecordError, match="IPv4-mapped"):
        Record.parse(CLIENT, VIP, json.dumps(fields | {"mac": mac.hex()}).encode(), KEYS)
