"""What agent and kernel know, as one look."""

import pytest

from relay.admin.busiest import Question
from relay.top.model import (
    History,
    Rates,
    Traffic,
    as_json,
    by_transceiver,
    drops,
    is_one_way,
    longest_turn,
    merge,
    verdicts,
)
from relay.top.processors import parse, shares
from tests.relay.top.rows import direction, look, row

STAT = """cpu  100 0 50 850 0 0 0 0 0 0
cpu0 60 1 20 400 9 1 9 3 0 0
cpu1 40 0 30 450 0 0 0 0 0 0
intr 12345
ctxt 4711
"""


def nobody(_: object) -> None:
    return None


class TestMerge:
    def test_a_flow_of_both_is_one_with_the_sums(self) -> None:
        kernel = row(rate=50.0, age_seconds=None)
        agent = row(
            to_transceiver=direction(7, 1.0, idle_seconds=0.05), to_client=direction(0, 0.0)
        )
        (one,) = merge([kernel], [agent], nobody, Question())
        assert one["to_transceiver"]["packets"] == 507
        assert one["to_transceiver"]["kernel_packets"] == 500
        assert one["to_transceiver"]["packet_rate"] == 51.0
        assert one["to_transceiver"]["idle_seconds"] == 0.05
        assert one["age_seconds"] == 61.0  # which the agent alone knows

    def test_what_the_kernel_has_of_an_agents_flow_is_looked_up(self) -> None:
        (one,) = merge([], [row(to_client=direction(1, 0.0))], lambda _: row(), Question())
        assert one["to_client"]["packets"] == 401

    def test_the_fastest_comes_first_and_equal_ones_keep_their_order(self) -> None:
        rows = [row("203.0.113.3:1", 1.0), row("203.0.113.1:1", 1.0), row("203.0.113.2:1", 9.0)]
        for mixed in (rows, rows[::-1]):
            found = merge(mixed, [], nobody, Question())
            assert [one["client"][10] for one in found] == ["2", "1", "3"]
        found = merge(rows, [], nobody, Question(sort="client"))
        assert [one["client"][10] for one in found] == ["1", "2", "3"]
        found = merge(rows, [], nobody, Question(sort="client", reverse=True))
        assert [one["client"][10] for one in found] == ["3", "2", "1"]

    def test_one_that_no_longer_fits_is_left_out(self) -> None:
        question = Question.parse({"filter": "one-way pending"})
        assert merge([row()], [], nobody, question) == []


def test_transceivers_of_both_are_added_up_the_busiest_first() -> None:
    ways = {
        "to_transceiver": {"packet_rate": 1.0, "bit_rate": 8},
        "to_client": {"packet_rate": 2.0, "bit_rate": 16},
    }
    first = {"transceiver": "192.0.2.2:5000", "target": "1/1.1", "flows": 3, **ways}
    other = first | {"transceiver": "192.0.2.3:5000"}
    one, two = by_transceiver([other, first], [first])
    assert (one["transceiver"], one["flows"]) == ("192.0.2.2:5000", 6)
    assert one["to_client"] == {"packet_rate": 4.0, "bit_rate": 32}
    assert two["flows"] == 3


class TestRates:
    def test_what_was_counted_between_two_looks_is_told_a_second(self) -> None:
        rates = Rates()
        assert rates.of("agent", 10.0, {"a": 500}) == {"a": 0.0}
        assert rates.of("agent", 12.0, {"a": 600, "b": 4}) == {"a": 50.0, "b": 2.0}

    def test_counters_that_began_anew_count_no_less_than_nothing(self) -> None:
        rates = Rates()
        rates.of("agent", 10.0, {"a": 500})
        assert rates.of("agent", 11.0, {"a": 3}) == {"a": 0.0}

    def test_two_looks_at_one_moment_divide_by_nothing(self) -> None:
        rates = Rates()
        rates.of("agent", 10.0, {"a": 1})
        assert rates.of("agent", 10.0, {"a": 2}) == {"a": 0.0}


def test_only_one_side_alone_is_one_way() -> None:
    silent = direction(idle_seconds=11.0)
    assert is_one_way(row()) is None
    assert is_one_way(row(to_client=silent)) == "client"
    assert is_one_way(row(to_transceiver=silent)) == "transceiver"
    assert is_one_way(row(to_client=silent, to_transceiver=silent)) is None
    assert is_one_way(row(to_client=direction(idle_seconds=9.0))) is None
    assert is_one_way(row(to_client=silent, state="pending")) is None


def test_what_is_dropped_now_comes_first() -> None:
    found = drops(
        {"bad_route": 7, "forwarded_to_clients": 9, "malformed_stun": 0},
        {"stun_forged": 100, "forwarded_to_client": 5, "zero_port": 0},
        {"bad_route": 2.0},
        {},
    )
    assert [(drop.dataplane, drop.reason, drop.rate) for drop in found] == [
        ("userspace", "bad_route", 2.0),
        ("xdp", "stun_forged", 0.0),
    ]


def test_history_keeps_the_latest_at_the_end() -> None:
    history = History()
    for packets in (1.0, 2.0):
        history.add(look(traffic={"xdp": Traffic(packets, 8.0)}))
    assert history.of("xdp", "packets") == [1.0, 2.0]
    assert history.of("", "drops") == [30.0, 30.0]
    assert history.of("userspace", "bits") == []


def test_the_programs_packets_by_what_became_of_them() -> None:
    counters = {"forwarded_to_client": 2.0, "not_udp": 3.0, "stun_forged": 4.0}
    assert verdicts(counters) == {"forwarded": 2.0, "passed": 3.0, "dropped": 4.0}


@pytest.mark.parametrize(
    ("turns", "bound"), [({"1": 9.0, "5": 0.5, "more": 0.0}, "5"), ({"1": 0.0}, ""), ({}, "")]
)
def test_the_longest_turn(turns: dict[str, float], bound: str) -> None:
    assert longest_turn(turns) == bound


def test_a_look_is_plain_data_for_programs() -> None:
    told = as_json(look(row(to_client=direction(idle_seconds=None))))
    assert told["agent"] == 4711
    assert told["flows"] == {"confirmed": 1, "pending": 2, "room": 10_000, "one_way": 0}
    assert told["traffic"]["xdp"] == {"packet_rate": 1200.0, "bit_rate": 960_000}
    assert told["drops"][0]["reason"] == "stun_forged"
    assert told["busiest"][0]["one_way"] == "client"


def test_processors_by_what_they_spend_their_time_on() -> None:
    found = parse(STAT)
    assert found[0] == {"user": 61, "system": 20, "softirq": 10, "steal": 3, "idle": 409}
    assert sorted(found) == [0, 1]
    later = {kind: ticks + 25 for kind, ticks in found[0].items()}
    assert set(shares(later, found[0]).values()) == {0.2}
    assert set(shares(found[0], found[0]).values()) == {0.0}
