from pathlib import Path
from typing import Any

import pytest

from relay.config.registry import Registry, RegistryError, Relay, Transceiver
from relay.config.targets import Targets
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target
from relay.wire.transport import MAX_CANDIDATES, Candidate, Transport

FILE = """
[[relay]]
vip = "203.0.113.10:3478"
[[relay]]
vip = "[2001:db8::10]:3478"

[[transceiver]]
cluster = 1
slot = 2
generation = 3
address = "192.0.2.2:5000"
control = "http://192.0.2.2:9000"
[[transceiver]]
cluster = 65535
slot = 16777215
generation = 255
address = "[2001:db8::2]:5000"
"""
ENTRY = {"cluster": 1, "slot": 2, "generation": 3, "address": "192.0.2.2:5000"}


def registry_of(**changes: Any) -> Registry:
    return Registry.of({"transceiver": [ENTRY | changes]})


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "registry.toml"
    path.write_text(FILE)
    registry = Registry.load(path)
    first, second = registry.transceivers
    assert first == Transceiver(
        Target(1, 2, 3), Endpoint("192.0.2.2", 5000), "http://192.0.2.2:9000"
    )
    assert second == Transceiver(Target(65535, 16777215, 255), Endpoint("2001:db8::2", 5000), None)
    vips = Endpoint("203.0.113.10", 3478), Endpoint("2001:db8::10", 3478)
    assert registry.relays == (Relay(vips[0]), Relay(vips[1]))
    assert registry.advertised == vips
    assert registry.clusters == {1, 65535}


def test_an_empty_file_is_an_empty_registry() -> None:
    registry = Registry.of({})
    assert (registry.transceivers, registry.relays, registry.clusters) == ((), (), frozenset())


VIP, VIP6 = Endpoint("10.0.0.5", 3478), Endpoint("fd00::5", 3478)
PUBLIC, PUBLIC6 = Endpoint("203.0.113.10", 443), Endpoint("2001:db8::10", 443)


@pytest.mark.parametrize(
    ("relays", "told"),
    [
        ([{"vip": str(VIP), "advertise": str(PUBLIC)}], (PUBLIC,)),
        ([{"vip": str(VIP), "advertise": [str(PUBLIC), str(PUBLIC6)]}], (PUBLIC, PUBLIC6)),
        ([{"vip": str(VIP), "advertise": [str(PUBLIC)] * 2}], (PUBLIC,)),
        ([{"vip": str(VIP), "advertise": []}], (VIP,)),
        ([{"vip": str(VIP), "advertise": str(PUBLIC)}, {"vip": str(VIP6)}], (PUBLIC, VIP6)),
        # Two relays behind one balancer.
        ([{"vip": str(each), "advertise": str(PUBLIC)} for each in (VIP, VIP6)], (PUBLIC,)),
    ],
    ids=["one", "both families", "twice", "none", "one of two relays", "shared"],
)
def test_clients_are_told_the_advertised_addresses_in_place_of_the_vip(
    relays: list[dict[str, Any]], told: tuple[Endpoint, ...]
) -> None:
    registry = Registry.of({"relay": relays})
    assert registry.advertised == told
    assert [str(each.vip) for each in registry.relays] == [each["vip"] for each in relays]


def test_clients_are_told_of_tcp_after_udp() -> None:
    over_tcp = [str(PUBLIC), str(PUBLIC6)]
    relays = [{"vip": str(VIP), "advertise": str(PUBLIC), "tcp": over_tcp}, {"vip": str(VIP6)}]
    (whole,) = Registry.of({"relay": relays}).ingresses
    assert whole.candidates == (
        Candidate(PUBLIC),
        Candidate(VIP6),
        Candidate(PUBLIC, Transport.TCP),
        Candidate(PUBLIC6, Transport.TCP),
    )
    (one,) = Registry.of({"relay": [{"vip": str(VIP), "tcp": str(VIP)}] * 2}).ingresses
    assert one.candidates == (Candidate(VIP), Candidate(VIP, Transport.TCP))


def relays(count: int) -> list[dict[str, Any]]:
    """Of each, clients are told one address of UDP and one of TCP."""
    vips = [f"203.0.113.{number}:3478" for number in range(1, count + 1)]
    return [{"vip": vip, "tcp": vip} for vip in vips]


def test_clients_are_told_as_many_addresses_as_an_answer_holds_and_no_more() -> None:
    (whole,) = Registry.of({"relay": relays(8)}).ingresses
    assert len(whole.candidates) == MAX_CANDIDATES
    with pytest.raises(RegistryError) as caught:
        Registry.of({"relay": [*relays(8), {"vip": "[2001:db8::10]:3478"}]})
    assert str(caught.value) == (
        "clients would be told 17 addresses (vip or advertise, and tcp), and an answer has room "
        "for 16: tell them fewer"
    )


def test_relays_of_different_names_are_advertised_each_alone() -> None:
    named = [each | {"name": each["vip"]} for each in relays(9)]
    assert len(Registry.of({"relay": named}).ingresses) == 9


def test_entries_of_a_name_and_region_are_one_relay() -> None:
    a, b, c = relays(3)
    name, region = {"name": "a"}, {"region": "eu"}
    ingresses = Registry.of({"relay": [a | name | region, c | region, b | name | region]}).ingresses
    assert [(len(each.relays), each.region) for each in ingresses] == [(2, "eu"), (1, "eu")]


def test_a_relay_is_closed_where_one_of_its_addresses_is() -> None:
    fuller, closed = Relay(VIP, name="a", taken=0.5), Relay(VIP6, name="a", closed=True)
    (ingress,) = Registry((), (fuller, closed)).ingresses
    assert (ingress.closed, ingress.taken) == (True, 0.5)


def test_the_region_of_a_transceiver_is_read() -> None:
    assert [each.region for each in registry_of(region="eu").transceivers] == ["eu"]


@pytest.mark.parametrize("wrong", ["", 3, "x" * 129])
def test_a_region_is_a_text(wrong: object) -> None:
    with pytest.raises(RegistryError, match="transceiver 1: region must be a text of 1 to 128"):
        registry_of(region=wrong)


def test_an_address_of_tcp_that_nobody_can_reach_is_named() -> None:
    with pytest.raises(RegistryError, match=r"relay 1: tcp 0\.0\.0\.0:443 is not the address"):
        Registry.of({"relay": [{"vip": str(VIP), "tcp": "0.0.0.0:443"}]})


def test_all_advertised_addresses_that_nobody_can_reach_are_told_at_once() -> None:
    wrong = ["0.0.0.0:3478", "[ff02::1]:3478", "[fe80::1]:3478", "255.255.255.255:9", "[::]:1"]
    entry = {"vip": "10.0.0.5:3478", "advertise": [*wrong, "203.0.113.10:0"]}
    with pytest.raises(RegistryError) as caught:
        Registry.of({"relay": [entry, {"vip": "10.0.0.6:3478", "advertise": 3478}]})
    assert caught.value.problems == (
        *(f"relay 1: advertise {each} is not the address of one host" for each in wrong),
        "relay 1: advertise: '203.0.113.10:0' has no port from 1 to 65535",
        'relay 2: write advertise = "IP:PORT", or ["IP:PORT", "[IPv6]:PORT"]',
    )


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (Target(1, 2, 3), True),
        (Target(1, 2, 2), False),  # the slot has a new owner: an old ufrag leads nowhere
        (Target(1, 2, 4), False),
        (Target(1, 3, 3), False),
        (Target(2, 2, 3), False),
    ],
    ids=str,
)
def test_find_wants_the_very_generation(target: Target, found: bool) -> None:
    assert (registry_of().find(target.packed) is not None) is found


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cluster": 65536}, "transceiver 1: cluster must be a number from 0 to 65535"),
        ({"cluster": -1}, "cluster must be"),
        ({"cluster": "1"}, "cluster must be"),
        ({"cluster": 1.0}, "cluster must be"),
        ({"cluster": True}, "cluster must be"),
        ({"slot": 1 << 24}, "slot must be a number from 0 to 16777215"),
        ({"generation": 256}, "generation must be a number from 0 to 255"),
        ({"generation": None}, "generation must be"),
        ({"address": None}, 'address = "IP:PORT" is missing'),
        ({"address": 5000}, "is missing"),
        ({"address": "192.0.2.2"}, "address: '192.0.2.2' is not a transport address"),
        ({"address": "media.example.org:5000"}, "not an IPv4 or IPv6 address"),
        ({"address": "0.0.0.0:5000"}, "not the address of one host"),
        ({"address": "[::]:5000"}, "not the address of one host"),
        ({"address": "[::ffff:0.0.0.0]:5000"}, "is an IPv4-mapped address"),
        ({"address": "224.0.0.1:5000"}, "not the address of one host"),
        ({"address": "[ff02::1]:5000"}, "not the address of one host"),
        ({"address": "169.254.169.254:80"}, "not the address of one host"),
        ({"address": "[::ffff:169.254.169.254]:80"}, "is an IPv4-mapped address"),
        ({"address": "[fe80::1]:5000"}, "not the address of one host"),
        ({"control": "192.0.2.2:9000"}, "control must be a URL"),
        ({"control": "file:///etc/hostname"}, "control must be a URL"),
        ({"control": 9000}, "control must be a URL"),
        ({"adress": "192.0.2.2:5000"}, "transceiver 1: unknown key adress"),
    ],
    ids=str,
)
def test_a_wrong_transceiver_is_refused_in_words(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(RegistryError, match=says):
        registry_of(**changes)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"relays": []}, "unknown table relays"),
        ({"relay": {"vip": "203.0.113.10:3478"}}, r"write \[\[relay\]\] above each relay"),
        ({"transceiver": 5}, r"write \[\[transceiver\]\] above each"),
        ({"transceiver": [5]}, r"write \[\[transceiver\]\] above each"),
        (
            {"relay": [{"vip": "203.0.113.10:3478", "health": "192.0.2.1:9100"}]},
            "relay 1: health must be a URL such as http://192.0.2.1:9100",
        ),
        ({"relay": [{}]}, 'relay 1: vip = "IP:PORT" is missing'),
        ({"relay": [{"vip": "203.0.113.10:3478"}, {"vip": "x"}]}, "relay 2: vip: 'x' is not"),
        ({"relay": [{"vip": "0.0.0.0:3478"}]}, "relay 1: vip 0.0.0.0:3478 is not the address of"),
        ({"relay": [{"vip": "203.0.113.10:3478", "port": 1}]}, "relay 1: unknown key port"),
        ({"transceiver": [ENTRY, ENTRY]}, "2 transceivers have slot 2 of cluster 1"),
        (
            {"transceiver": [ENTRY, ENTRY | {"generation": 4}]},
            "2 transceivers have slot 2 of cluster 1",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_document_is_refused_in_words(document: dict[str, Any], says: str) -> None:
    with pytest.raises(RegistryError, match=says):
        Registry.of(document)


def test_the_same_slot_of_two_clusters_is_two_slots() -> None:
    other = {"cluster": 9, "address": "192.0.2.9:5000"}
    assert len(Registry.of({"transceiver": [ENTRY, ENTRY | other]}).transceivers) == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"cannot read registry .*registry\.toml: No such file"),
        (b"[[relay]", r"registry .*registry\.toml is not valid TOML"),
        (b"\xff\xfe", r"registry\.toml is not text"),
        (b'[[relay]]\nvip = ""', r"registry .*registry\.toml:2: relay 1: vip: '' is not"),
    ],
    ids=["missing", "no TOML", "no text", "wrong entry"],
)
def test_load_names_the_file(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "registry.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RegistryError, match=says):
        Registry.load(path)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:5000", "transceiver 2: 127.0.0.1:5000 is on the loopback"),
        ("[::ffff:127.0.0.1]:5000", "transceiver 2: address: .* is an IPv4-mapped address"),
        ("[64:ff9b::7f00:1]:5000", "transceiver 2: .* is a NAT64 address"),
        ("203.0.113.10:3478", "transceiver 2: .* is a VIP of this relay"),
        ("192.0.2.1:20000", "transceiver 2: .* is an upstream address of this relay"),
    ],
)
def test_nobody_is_sent_to_who_is_no_transceiver(tmp_path: Path, address: str, says: str) -> None:
    targets = Targets(
        None,
        vips=frozenset({Endpoint("203.0.113.10", 3478)}),
        upstreams=frozenset({"192.0.2.1"}),
        ports=(range(20_000, 21_000),),
    )
    entry = "[[transceiver]]\ncluster = 1\nslot = {}\ngeneration = 1\naddress = '{}'\n"
    path = tmp_path / "registry.toml"
    path.write_text(entry.format(1, "192.0.2.2:5000") + entry.format(2, address))
    with pytest.raises(RegistryError, match=says):
        Registry.load(path, targets)


@pytest.mark.parametrize(
    ("vip", "says"),
    [
        ("127.0.0.1:3478", "cluster 1: 127.0.0.1:3478 is on the loopback"),
        ("[64:ff9b::7f00:1]:3478", "cluster 1: .* is a NAT64 address"),
        ("203.0.113.10:3478", "cluster 1: .* is a VIP of this relay"),
        ("192.0.2.1:20000", "cluster 1: .* is an upstream address of this relay"),
        ("198.51.100.10:3478", None),
    ],
)
def test_a_relay_elsewhere_is_allowed_by_being_named_and_is_none_of_this_one(
    vip: str, says: str | None
) -> None:
    targets = Targets(
        vips=frozenset({Endpoint("203.0.113.10", 3478)}),
        upstreams=frozenset({"192.0.2.1"}),
        ports=(range(20_000, 21_000),),
    )
    registry = Registry.of({"cluster": [{"number": 2, "vip": vip}]})
    if says is None:
        registry.require(targets)
        assert targets.refusal(Endpoint.parse(vip)) is not None  # of a transceiver it would be
    else:
        with pytest.raises(RegistryError, match=says):
            registry.require(targets)


ELSEWHERE = """
[[cluster]]
number = 2
vip = ["[2001:db8:5::10]:3478", "203.0.113.7:3478"]
[[cluster]]
number = 3
vip = "203.0.113.8:3478"
"""


def test_clusters_elsewhere_have_relays(tmp_path: Path) -> None:
    path = tmp_path / "registry.toml"
    path.write_text(FILE + ELSEWHERE)
    registry = Registry.load(path)
    assert registry.remote_clusters == {2, 3}
    assert registry.clusters == {1, 65535}
    assert registry.relays_of(2) == (
        Endpoint("2001:db8:5::10", 3478),
        Endpoint("203.0.113.7", 3478),
    )
    assert (registry.relays_of(3), registry.relays_of(1)) == ((Endpoint("203.0.113.8", 3478),), ())


@pytest.mark.parametrize(
    ("clusters", "said"),
    [
        ([{"vip": "203.0.113.7:3478"}], "cluster 1: number must be a number from 0 to 65535"),
        ([{"number": True, "vip": []}], "cluster 1: number must be a number from 0 to 65535"),
        ([{"number": 2}], 'cluster 1: vip = "IP:PORT" is missing'),
        ([{"number": 2, "vip": []}], "cluster 1: vip names no address of its relays"),
        ([{"number": 2, "vip": "0.0.0.0:3478"}], "is not the address of one host"),
        ([{"number": 2, "vips": []}], "did you mean vip?"),
        ([{"number": 2, "vip": "203.0.113.7:1"}] * 2, "cluster 2 is there 2 times"),
        ([{"number": 1, "vip": "203.0.113.7:1"}], "cluster 1 is elsewhere, and has transceivers"),
    ],
)
def test_what_is_wrong_with_a_cluster_elsewhere_is_named(
    clusters: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(RegistryError) as caught:
        Registry.of({"transceiver": [ENTRY], "cluster": clusters})
    assert said in str(caught.value)
