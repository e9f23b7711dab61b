"""The relay's own addresses: their rows, ports and slots, in theory and in a loaded instance."""

import random
from contextlib import closing

import pytest

from relay.dataplane.kernel.config import Settings, UpstreamRange
from relay.dataplane.kernel.ownaddresses import (
    CURRENT,
    FORMER,
    VIPS,
    OwnTable,
    find_seed,
    place,
    plan_rows,
    slot_of,
)
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.settings import write_settings
from relay.dataplane.xdp import XdpDataplane
from relay.errors import DataplaneError
from relay.wire.endpoint import Endpoint
from tests.relay.dataplane.loading import VIP, VIP6, flow

UPSTREAM = "192.0.2.1"
OTHERS = [Endpoint(f"203.0.113.{number}", 3478) for number in range(100, 200)]


class TestPlanRows:
    THERE = {0: b"a", 1: b"b", 3: b"d"}  # noqa: RUF012  # never changed

    def test_what_stays_keeps_its_row_and_others_take_free_ones(self) -> None:
        assert plan_rows(self.THERE, [b"n", b"b"], 4, used=()) == {b"b": 1, b"n": 0}

    def test_a_row_that_a_flow_has_is_not_free(self) -> None:
        assert plan_rows(self.THERE, [b"n", b"m", b"b"], 5, used={0, 3}) == {
            b"b": 1,
            b"n": 2,
            b"m": 4,
        }

    def test_no_room(self) -> None:
        assert plan_rows(self.THERE, [b"n", b"m"], 4, used={0, 1, 3}) is None


class TestPlace:
    @pytest.mark.parametrize(
        ("taken", "count", "expected"),
        [
            ([], 10, 0),
            ([], 11, None),
            ([range(4)], 6, 4),
            ([range(6, 10), range(2)], 4, 2),
            ([range(6, 10), range(2)], 5, None),
        ],
    )
    def test_the_first_gap(self, taken: list[range], count: int, expected: int | None) -> None:
        assert place(taken, count, size=10) == expected


class TestSeed:
    def test_even_full_tables_have_a_slot_for_each(self) -> None:
        names = [each.packed for each in OTHERS[:64]]
        names += [Endpoint(f"2001:db8:{n:x}::1", 0).packed[:16] for n in range(64)]
        seed = find_seed(names, 0, random.Random(1))
        assert len({slot_of(name, seed) for name in names}) == 128
        assert find_seed(names, seed, random.Random(2)) == seed  # it stays if it can

    def test_two_that_are_the_same(self) -> None:
        with pytest.raises(DataplaneError, match="are the same"):
            find_seed([VIP.packed, VIP.packed], 0, random.Random(1))


def settings(vips: list[Endpoint], first: int = 20000, last: int = 29999) -> Settings:
    return Settings(tuple(vips), (UpstreamRange(UPSTREAM, first, last),), {})


@pytest.mark.bpf
class TestLoaded:
    def test_an_address_that_a_flow_has_stays_as_a_former_one(self, pins: Pins) -> None:
        with closing(XdpDataplane(pins.instance)) as dataplane:
            dataplane.install(flow(1))
            write_settings(pins, settings([VIP6]))
            write_settings(pins, settings([OTHERS[0]]))
            with closing(OwnTable(pins, VIPS)) as table:
                own = {name: table.field(n, "own") for n, name in table.names().items()}
            assert own == {VIP.packed: FORMER, OTHERS[0].packed: CURRENT}
            assert list(dataplane.tuples()) == [flow(1)]
            dataplane.remove(flow(1))
            write_settings(pins, settings([OTHERS[0]]))
        with closing(OwnTable(pins, VIPS)) as table:
            assert list(table.names().values()) == [OTHERS[0].packed]

    def test_more_than_there_is_room_for(self, pins: Pins) -> None:
        with pytest.raises(DataplaneError, match=r"room for 64 VIPs(.|\n)*relay unload"):
            write_settings(pins, settings(OTHERS[:65]))
        write_settings(pins, settings(OTHERS[:64]))

    def test_ports_may_be_fewer_and_more_again(self, pins: Pins) -> None:
        with closing(XdpDataplane(pins.instance)) as dataplane:
            dataplane.install(flow(1))
            for first, last in ((20000, 20500), (25000, 29999), (20000, 29999)):
                write_settings(pins, settings([VIP], first, last))
                assert list(dataplane.tuples()) == [flow(1)]
            with pytest.raises(DataplaneError, match=r"ports 20000 to 29999(.|\n)*relay unload"):
                write_settings(pins, settings([VIP], 19999, 29999))

    def test_ports_that_no_flow_has_may_be_others(self, pins: Pins) -> None:
        write_settings(pins, settings([VIP], 1000, 2000))
        moved = flow(1)._replace(upstream=Endpoint(UPSTREAM, 1000))
        with closing(XdpDataplane(pins.instance)) as dataplane:
            dataplane.install(moved)
            assert list(dataplane.tuples()) == [moved]
            with pytest.raises(DataplaneError, match="upstream port 20001"):
                dataplane.install(flow(1))
        with pytest.raises(DataplaneError, match=r"room for 20,000 upstream ports"):
            write_settings(
                pins,
                Settings(
                    (VIP,),
                    (
                        UpstreamRange(UPSTREAM, 1000, 2000),
                        UpstreamRange("192.0.2.7", 1, 19_500),
                    ),
                    {},
                ),
            )
