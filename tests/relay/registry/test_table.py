from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from relay.config.registry import Relay
from relay.config.targets import Targets
from relay.registry.entry import EntryError, Heartbeat, RelayEntry, TransceiverEntry
from relay.registry.table import HOLD, QUIET, TTL, FleetTable
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target

VIP = Endpoint("203.0.113.10", 3478)


def transceiver(slot: int = 7, generation: int = 3, host: str = "10.0.0.2") -> TransceiverEntry:
    addresses = Endpoint(host, 5000), Endpoint(host, 9000)
    return TransceiverEntry(Target(1, slot, generation), *addresses, 4, 70)


def relay(**changes: object) -> RelayEntry:
    whole = RelayEntry(1, "fra-1", (Relay(VIP, name="fra-1"),), 20, 100)
    return replace(whole, **changes)  # type: ignore[arg-type]


def targets(table: FleetTable, now: float) -> list[Target]:
    return [each.target for each in table.registry(now).transceivers]


def silent(table: FleetTable, now: float) -> list[bool]:
    """Who of them is, but for whoever `others` are."""
    return [silent for entry, silent, _ in table.entries(now) if entry.field != OTHER.field]


OTHER = transceiver(9)


def others(table: FleetTable, until: float, since: float = 0.0) -> None:
    """Somebody else is heard all the time."""
    for beat in range(int(since), int(until) + 1, 4):
        table.take(Heartbeat(OTHER, 1 + beat), float(beat))


def test_what_is_heard_is_known_with_its_load() -> None:
    table = FleetTable()
    assert table.take(Heartbeat(transceiver(), 1), 0.0)
    assert table.take(Heartbeat(relay(), 1), 0.0)
    found = table.registry(1.0)
    assert found.transceivers == (transceiver().transceiver,)
    assert found.relays == (Relay(VIP, name="fra-1", taken=0.2, clusters=frozenset({1})),)


@pytest.mark.parametrize(
    ("host", "health"),
    [
        ("10.0.0.6", "http://10.0.0.6:9100"),
        ("fd00::6", "http://[fd00::6]:9100"),
        ("127.0.0.1", None),
        ("198.51.100.6", None),
    ],
)
def test_the_health_of_a_relay_is_asked_for_in_allowed_networks_only(
    host: str, health: str | None
) -> None:
    table = FleetTable()
    table.take(Heartbeat(relay(health=Endpoint(host, 9100)), 1), 0.0)
    (found,) = table.registry(1.0).relays
    assert found.health == health


def test_that_somebody_is_still_there_is_no_news_and_load_is_that_of_relays_only() -> None:
    table = FleetTable()
    assert table.take(Heartbeat(transceiver(), 1), 0.0)
    busier = replace(transceiver(), sessions=40, draining=True)
    assert not table.take(Heartbeat(busier, 2), 5.0)
    assert silent(table, TTL + 4.0) == [False], "but it was heard"
    assert table.take(Heartbeat(transceiver(host="10.0.0.3"), 3), 6.0)
    assert table.take(Heartbeat(relay(), 1), 0.0)
    assert not table.take(Heartbeat(relay(), 2), 0.0)
    assert table.take(Heartbeat(relay(flows=21), 3), 0.0)


def test_who_is_silent_is_told() -> None:
    table = FleetTable()
    table.take(Heartbeat(transceiver(), 1), 0.0)
    others(table, TTL)
    assert table.silent(TTL - 1) == frozenset()
    assert table.silent(TTL) == {(1, "transceiver:7")}


def test_an_older_heartbeat_is_no_news() -> None:
    table = FleetTable()
    table.take(Heartbeat(transceiver(generation=4), 9), 0.0)
    assert not table.take(Heartbeat(transceiver(generation=3), 8), 1.0)
    others(table, TTL)
    assert not table.take(Heartbeat(transceiver(generation=4), 9), TTL + 1.0), "nor one again"
    assert targets(table, 1.0)[0] == Target(1, 7, 4)
    assert silent(table, TTL + 1.0) == [True]


def test_whoever_counts_from_less_is_heard_once_the_other_is_silent() -> None:
    """A machine whose clock was set back, or another one that got the slot."""
    table = FleetTable()
    table.take(Heartbeat(transceiver(generation=3), 1000), 0.0)
    assert not table.take(Heartbeat(transceiver(generation=4), 10), TTL - 0.1)
    assert table.take(Heartbeat(transceiver(generation=4), 11), TTL)
    assert targets(table, TTL) == [Target(1, 7, 4)]


def test_a_silent_transceiver_keeps_its_routes_and_a_silent_relay_gets_no_clients() -> None:
    table = FleetTable()
    table.take(Heartbeat(transceiver(), 1), 0.0)
    table.take(Heartbeat(relay(), 1), 0.0)
    others(table, TTL)
    later = table.registry(TTL)
    assert later.find(Target(1, 7, 3).packed) is not None
    assert [each.closed for each in later.relays] == [True]
    assert not table.expire(HOLD - 1)
    assert table.expire(HOLD)
    assert [entry for entry, _, _ in table.entries(HOLD)] == [OTHER]


def test_while_redis_is_away_nobody_is_silent_and_all_stay_for_the_stated_time() -> None:
    table = FleetTable()
    table.take(Heartbeat(relay(), 1), 0.0)
    others(table, 8)
    table.away(10.0)
    table.away(20.0)
    assert silent(table, HOLD - 1) == [False]
    table.back(1000.0)
    table.back(1001.0)
    others(table, 1008, since=1000)
    assert silent(table, 1004.0) == [False], "he has the rest of his time once more"
    assert silent(table, 1005.0) == [True]


def test_while_nobody_at_all_is_heard_nobody_is_silent() -> None:
    """Redis answers, and takes no writes: it is full, or cannot save."""
    table = FleetTable()
    table.take(Heartbeat(relay(), 1), 0.0)
    table.take(Heartbeat(relay(name="fra-2"), 1), 4.9)
    assert not table.quiet(QUIET)
    assert table.quiet(5 + QUIET)
    assert silent(table, HOLD - 1) == [False, False]
    table.take(Heartbeat(relay(name="fra-2"), 2), 1000.0)
    assert not table.quiet(1001.0)
    assert silent(table, 1002.0) == [False, False], "he has the rest of his time"
    table.take(Heartbeat(relay(name="fra-2"), 3), 1004.0)
    assert silent(table, 1005.0) == [True, False]


def test_of_two_clusters_one_may_be_quiet() -> None:
    """They are in different shards of Redis."""
    table = FleetTable()
    table.take(Heartbeat(relay(cluster=1), 1), 0.0)
    for second in range(0, 100, 5):
        table.take(Heartbeat(relay(cluster=2), 1 + second), second)
    assert table.silent(99.0) == frozenset()
    assert table.quiet(99.0)


def test_a_fleet_that_has_ended_is_not_quiet() -> None:
    table = FleetTable()
    table.take(Heartbeat(relay(), 1), 0.0)
    table.take(Heartbeat(relay(), 2, gone=True), 1.0)
    assert not table.quiet(1.0 + QUIET)


def test_whoever_is_heard_shows_that_redis_is_back() -> None:
    table = FleetTable()
    table.take(Heartbeat(relay(), 1), 0.0)
    table.away(10.0)
    table.take(Heartbeat(relay(), 2), 1000.0)
    table.back(1001.0)
    others(table, 1020, since=1000)
    assert silent(table, 1000.0 + TTL) == [True]


def test_away_for_longer_than_that_nothing_is_believed() -> None:
    table = FleetTable()
    table.take(Heartbeat(relay(), 1), 0.0)
    table.away(10.0)
    assert table.expire(HOLD)


def test_who_has_ended_is_gone_at_once_and_his_past_is_no_news() -> None:
    table = FleetTable()
    table.take(Heartbeat(transceiver(), 5), 0.0)
    assert table.take(Heartbeat(transceiver(), 6, gone=True), 1.0)
    assert targets(table, 1.0) == []
    assert not table.take(Heartbeat(transceiver(), 5), 2.0)
    assert table.take(Heartbeat(transceiver(generation=4), 7), 3.0)
    assert targets(table, 3.0) == [Target(1, 7, 4)]


def test_what_is_old_when_it_is_first_read_is_not_believed() -> None:
    table = FleetTable()
    others(table, 100)
    assert not table.take(Heartbeat(relay(), 1), 100.0, age=TTL)
    assert table.take(Heartbeat(relay(), 1), 100.0, age=TTL - 1)
    assert silent(table, 101.0) == [True]


@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.5", "2001:db8::1", "fd00::1", "10.9.9.9"])
def test_a_transceiver_is_where_one_may_be(host: str) -> None:
    table = FleetTable(Targets((IPv4Network("10.0.0.0/16"),)))
    with pytest.raises(EntryError, match="--allow"):
        table.take(Heartbeat(transceiver(host=host), 1), 0.0)
    assert not list(table.entries(0.0))


def test_nor_may_its_control_api_be_elsewhere() -> None:
    elsewhere = replace(transceiver(), control=Endpoint("169.254.169.254", 80))
    with pytest.raises(EntryError, match=r"169\.254"):
        FleetTable().take(Heartbeat(elsewhere, 1), 0.0)


def test_private_networks_are_where_one_may_be_by_default() -> None:
    table = FleetTable()
    assert table.take(Heartbeat(transceiver(1, host="fd00::1"), 1), 0.0)
    assert table.take(Heartbeat(transceiver(2, host="192.168.3.3"), 1), 0.0)


def test_a_relay_of_two_clusters_is_one_relay() -> None:
    table = FleetTable()
    table.take(Heartbeat(relay(cluster=1), 1), 0.0)
    table.take(Heartbeat(relay(cluster=2), 1), 0.0)
    assert [each.clusters for each in table.registry(0.0).relays] == [{1, 2}]
