"""Which flows a filter admits."""

import pytest

from relay.admin.flowentry import FlowEntry
from relay.admin.flowfilter import FlowFilter, parse_duration
from relay.core.flow import State
from relay.core.flowtuple import FlowTuple
from relay.dataplane.flowrecord import Activity
from relay.errors import ConfigError
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target

NOW = 1000.0


def addresses(client: str = "203.0.113.2:40000", transceiver: str = "192.0.2.2:5000") -> FlowTuple:
    return FlowTuple(
        Endpoint.parse(client),
        Endpoint("203.0.113.10", 3478),
        Endpoint("192.0.2.1", 20417),
        Endpoint.parse(transceiver),
        bytes(1) + Target(1, 20, 3).packed + bytes(14),
    )


def entry(inward: float = 999.0, outward: float = 999.0, opened: float = 900.0) -> FlowEntry:
    """A flow whose sides were last heard at these moments."""
    return FlowEntry(
        addresses(),
        State.CONFIRMED,
        Activity(10, 1000, inward) if inward else Activity(),
        Activity(10, 1000, outward) if outward else Activity(),
        opened=opened,
    )


@pytest.mark.parametrize(
    ("client", "written", "has"),
    [
        ("203.0.113.2:40000", "203.0.113.0/24", True),
        ("203.0.113.2:40000", "203.0.113.77/24", True),
        ("203.0.114.2:40000", "203.0.113.0/24", False),
        ("203.0.113.2:40000", "0.0.0.0/0", True),
        ("[2001:db8::2]:40000", "0.0.0.0/0", False),
        ("203.0.113.2:40000", "203.0.113.2", True),
        ("203.0.113.3:40000", "203.0.113.2", False),
        ("203.0.113.2:40000", "203.0.113.2:40000", True),
        ("203.0.113.2:40001", "203.0.113.2:40000", False),
        ("[2001:db8::2]:40000", "2001:db8::/32", True),
        ("[2001:db9::2]:40000", "2001:db8::/32", False),
        ("[2001:db8::2]:40000", "[2001:db8::2]:40000", True),
    ],
)
def test_clients_by_network_address_and_port(client: str, written: str, has: bool) -> None:
    wanted = FlowFilter.parse(client=written)
    assert wanted.admits(addresses(client), State.PENDING) is has


@pytest.mark.parametrize(
    ("written", "has"),
    [
        *(("192.0.2.2:5000", True), ("192.0.2.2:5001", False), ("192.0.2.2", True)),
        *(("192.0.2.0/24", True), ("192.0.3.0/24", False)),
        *(("1/20", True), ("1/20.3", True), ("1/20.4", False), ("1/21", False), ("2/20", False)),
    ],
)
def test_transceivers_by_address_and_by_where_routes_lead(written: str, has: bool) -> None:
    wanted = FlowFilter.parse(transceiver=written)
    assert wanted.admits(addresses(), State.CONFIRMED) is has


def test_states() -> None:
    wanted = FlowFilter.parse(state="pending")
    assert wanted.admits(addresses(), State.PENDING)
    assert not wanted.admits(addresses(), State.CONFIRMED)


@pytest.mark.parametrize(
    ("older", "younger", "has"),
    [("100", None, True), ("101", None, False), (None, "100", True), (None, "99", False)],
)
def test_ages(older: str | None, younger: str | None, has: bool) -> None:
    assert FlowFilter.parse(older=older, younger=younger).has(entry(), NOW) is has


@pytest.mark.parametrize(("idle", "has"), [("1s", True), ("1500ms", False)])
def test_how_long_no_packet_has_come(idle: str, has: bool) -> None:
    assert FlowFilter.parse(idle=idle).has(entry(), NOW) is has


@pytest.mark.parametrize(
    ("inward", "outward", "alone"),
    [
        *((999.0, 998.0, None), (999.0, 989.0, "client"), (989.0, 999.0, "transceiver")),
        *((999.0, 0.0, "client"), (0.0, 999.0, "transceiver"), (0.0, 0.0, None)),
    ],
)
def test_one_way_is_of_which_one_side_alone_sends_of_late(
    inward: float, outward: float, alone: str | None
) -> None:
    seen = entry(inward, outward)
    assert seen.one_way(NOW) == alone
    assert FlowFilter.parse(one_way=True).has(seen, NOW) is bool(alone)


def test_all_that_is_given_applies() -> None:
    both = FlowFilter.parse(client="203.0.113.0/24", transceiver="1/21")
    assert not both.admits(addresses(), State.CONFIRMED)


def test_its_texts_make_the_same_filter_elsewhere() -> None:
    wanted = FlowFilter.parse(client="203.0.113.0/24", older="5m", one_way=True)
    assert dict(wanted.texts) == {"client": "203.0.113.0/24", "older": "5m", "one_way": True}
    again = FlowFilter.parse(**wanted.texts)
    assert (again.older, again.one_way) == (300.0, True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("500ms", 0.5),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1.5d", 129600.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        FlowFilter.parse(client="x", transceiver="70000/1", state="up", older="soon", named="???")
    assert len(refused.value.problems) == 5
    assert "--state 'up': write pending or confirmed" in refused.value.problems
