"""What a listing of flows shows, and in which order."""

from typing import Any

import pytest

from relay.admin.flowcolumns import (
    COLUMNS,
    USUAL,
    WIDE,
    Order,
    Rates,
    Row,
    need_rates,
    parse_columns,
    row_as_json,
)
from relay.admin.flowentry import FlowEntry
from relay.core.flow import State
from relay.dataplane.flowrecord import Activity
from relay.errors import ConfigError
from tests.relay.admin.test_flowfilter import NOW, addresses


def row(client: str = "203.0.113.2:40000", inward: int = 1000, **rest: Any) -> Row:
    return Row(
        FlowEntry(
            addresses(client),
            State.CONFIRMED,
            Activity(inward, 160_000, 999.5),
            Activity(900, 150_000, 999.0),
            Activity(3, 300, 950.0),
            Activity(1, 50, 950.0),
            opened=940.0,
        ),
        NOW,
        **rest,
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("client", "203.0.113.2:40000"), ("transport", "udp"), ("vip", "203.0.113.10:3478")),
        *(("upstream", "192.0.2.1:20417"), ("transceiver", "192.0.2.2:5000"), ("target", "1/20.3")),
        *(("state", "confirmed"), ("one-way", "-"), ("in", "1,003"), ("out", "901")),
        *(("bytes-in", "160,300"), ("bytes-out", "150,050"), ("kernel", "99.8%")),
        *(("rate", "150"), ("rate-in", "100"), ("bits-out", "64,000")),
        *(("idle", "0.5"), ("age", "60.0"), ("ufrag", "AAABAAAUAwAAAAAAAAAAAAAAAAAA")),
    ],
)
def test_what_columns_show(name: str, text: str) -> None:
    rates = Rates((100.0, 50.0), (128_000.0, 64_000.0))
    assert COLUMNS[name].text(row(rates=rates)) == text


def test_what_is_not_known_is_a_dash() -> None:
    alone = Row(FlowEntry(addresses(), State.CONFIRMED), NOW)
    names = ("kernel", "rate", "idle", "age")
    assert [COLUMNS[name].text(alone) for name in names] == ["-"] * 4


def test_the_usual_columns_fit_a_terminal_of_80() -> None:
    busy = row("203.0.113.200:40000", inward=1_234_567)
    widths = [max(len(name), len(COLUMNS[name].text(busy))) for name in USUAL]
    assert sum(widths) + 2 * (len(widths) - 1) <= 80


def test_all_columns_of_a_set_are_there() -> None:
    assert set(USUAL) <= set(WIDE) <= set(COLUMNS)


def test_columns_by_name_in_the_order_given() -> None:
    assert parse_columns("state, client") == ("state", "client")


def test_an_unknown_column_is_told_with_the_nearest_and_all() -> None:
    with pytest.raises(ConfigError, match=r"'clint': did you mean client.* known are id, client"):
        parse_columns("state,clint")
    with pytest.raises(ConfigError, match="names no column"):
        parse_columns(",")
    with pytest.raises(ConfigError, match="--sort: there is no column 'speed'"):
        Order.parse("-speed")


@pytest.mark.parametrize(
    ("order", "ports"),
    [("client", [1, 2, 10]), ("-client", [10, 2, 1]), ("in", [10, 1, 2]), ("-in", [2, 1, 10])],
)
def test_addresses_are_sorted_as_numbers_and_counts_too(order: str, ports: list[int]) -> None:
    counts = {1: 50, 2: 1000, 10: 7}
    rows = [row(f"203.0.113.2:{port}", inward=counts[port]) for port in (2, 10, 1)]
    shown = Order.parse(order).sorted(rows)
    assert [each.entry.addresses.client.port for each in shown] == ports


def test_rates_are_of_the_time_between_two_looks() -> None:
    rates = Rates.between(row(inward=1000).entry, row(inward=1100).entry, 2.0)
    assert (rates.packets, rates.both) == ((50.0, 0.0), 50.0)
    assert Rates.between(row(inward=1000).entry, row(inward=5).entry, 2.0).both == 0.0
    assert Rates.between(row().entry, row(inward=2000).entry, 0.0).both == 0.0


def test_which_columns_need_two_looks() -> None:
    assert need_rates(("client", "bits-in"))
    assert not need_rates(WIDE)


def test_json_has_all_that_is_known() -> None:
    shown = row_as_json(row(rates=Rates((100.04, 0.0), (128_000.4, 0.0))))
    assert shown["id"] == row().entry.id
    assert (shown["age_seconds"], shown["one_way"]) == (60.0, None)
    assert shown["to_transceiver"] == {
        "packets": 1003,
        "bytes": 160_300,
        "kernel_packets": 1000,
        "userspace_packets": 3,
        "packet_rate": 100.0,
        "bit_rate": 128_000,
    }
    assert "packet_rate" not in row_as_json(row())["to_client"]


def test_an_entry_crosses_the_admin_socket_unchanged() -> None:
    sent = row().entry
    assert FlowEntry.from_wire(sent.as_wire()) == sent
    ending = sent._replace(ends=True)
    assert FlowEntry.from_wire(ending.as_wire()) == ending
    assert FlowEntry.from_wire(sent.as_wire()[:-1]) == sent  # of an older agent


def test_a_flow_whose_transceiver_said_goodbye_is_not_called_confirmed() -> None:
    ending = Row(row().entry._replace(ends=True), NOW)
    assert COLUMNS["state"].text(ending) == "ending"
    assert ending.entry.as_json(NOW)["state"] == "ending"
