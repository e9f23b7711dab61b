"""Next hops that the program remembers: leases, generations, and a table that never fills."""

import threading
import time
from collections.abc import Iterator

import pytest

from relay.dataplane.kernel.nexthops import (
    UNIT,
    WATCH_LEASE,
    NextHops,
    lease_fields,
    write_leases,
)
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins


@pytest.mark.parametrize("rate", [100, 250, 300, 1000])
def test_leases_last_as_long_with_any_tick(rate: int) -> None:
    fields = lease_fields(1 / rate)
    unit = 2 ** fields["tick_shift"] / rate
    assert 0.03 <= fields["hop"] / rate <= 0.05
    assert fields["flow"] * unit == pytest.approx(1.0, abs=unit)
    assert fields["flow"] < 1024 / 2, "the time in a binding has 10 bits"
    assert UNIT / 2 < unit <= UNIT
    assert fields["watch_ns"] == WATCH_LEASE * 1e9


@pytest.fixture
def hops(pins: Pins) -> Iterator[NextHops]:
    """Those of an instance, without records."""
    with PinnedMap(pins.map("hops")) as table:
        for index in range(table.info.max_entries):
            table.update(table.key.number(index), bytes(table.value.size))
    with NextHops(pins) as opened:
        yield opened


def leases(pins: Pins) -> dict[str, int]:
    """What the program reads."""
    with PinnedMap(pins.map("leases")) as table:
        (row,) = (each["value"] for each in table.show())
    return {name: int(value) for name, value in row.items()}


def claim(pins: Pins, indexes: range) -> None:
    """Let the program have made records there."""
    with PinnedMap(pins.map("hops")) as table:
        value = table.value.pack({"claim": 1, "ifindex": 2})
        for index in indexes:
            table.update(table.key.number(index), value)


@pytest.mark.bpf
def test_a_new_generation_is_seen_by_the_program_and_outlives_loading(
    pins: Pins, hops: NextHops
) -> None:
    before = leases(pins)
    hops.renew()
    write_leases(pins)
    after = leases(pins)
    assert hops.generation == after["raised"] + after["told"]
    assert after == before | {"told": before["told"] + 2}
    assert after["hop"] > 0
    assert after["flow"] > 0


@pytest.mark.bpf
def test_leases_of_another_version_are_replaced_and_nothing_else(pins: Pins) -> None:
    before = leases(pins)
    with PinnedMap(pins.map("leases")) as table:
        changed = table.value.pack(before | {"hop": before["hop"] + 5, "raised": 9})
        table.update(table.key.number(0), changed)
    write_leases(pins)
    assert leases(pins) == before | {"told": before["told"] + 1, "raised": 9}


@pytest.mark.bpf
def test_no_change_is_lost_that_two_threads_tell_of(hops: NextHops) -> None:
    before = hops.generation

    def renew() -> None:
        for _ in range(5000):
            hops.renew()

    threads = [threading.Thread(target=renew) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert hops.generation == before + 4 * 5000


@pytest.mark.bpf
def test_the_program_is_told_when_somebody_watched_last(pins: Pins, hops: NextHops) -> None:
    hops.watched()
    assert abs(time.clock_gettime_ns(time.CLOCK_MONOTONIC) - leases(pins)["watched_ns"]) < 10**9
    hops.unwatched()
    assert leases(pins)["watched_ns"] == 0


@pytest.mark.bpf
def test_a_table_that_fills_is_left_for_the_other_half_and_cleared(
    pins: Pins, hops: NextHops
) -> None:
    with PinnedMap(pins.map("leases")) as table:
        fields = table.value.pack({"raised": 4, "told": 3} | lease_fields(0.01))
        table.update(table.key.number(0), fields)
    claim(pins, range(1, 1000))
    assert not hops.tidy(), "there is room"
    claim(pins, range(1000, 1100))
    assert hops.tidy()
    assert hops.generation == 8, "no flow stays bound to what is left"
    assert hops.used() == 0, "the other half is in use"
    claim(pins, range(2048, 2050))
    assert not hops.tidy()
    with PinnedMap(pins.map("hops")) as table:
        claimed = [
            index
            for index, (_, value) in enumerate(table.items())
            if any(value[table.value.spans["claim"]])
        ]
    assert claimed == [2048, 2049]
