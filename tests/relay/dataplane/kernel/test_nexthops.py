"""Next hops that the program remembers: leases, generations, and a table that never fills."""

from collections.abc import Iterator

import pytest

from relay.dataplane.kernel.nexthops import NextHops, lease_fields, write_leases
from relay.dataplane.kernel.pins import PinnedMap, Pins


@pytest.mark.parametrize("rate", [100, 250, 300, 1000])
def test_leases_last_as_long_with_any_tick(rate: int) -> None:
    fields = lease_fields(1 / rate)
    unit = 2 ** fields["tick_shift"] / rate
    assert 0.03 <= fields["hop"] / rate <= 0.05
    assert fields["flow"] * unit == pytest.approx(1.0, abs=unit)
    assert fields["flow"] < 1024 / 2, "the time in a binding has 10 bits"


@pytest.fixture
def hops(pins: Pins) -> Iterator[NextHops]:
    """Those of an instance, without records."""
    with PinnedMap(pins.map("hops")) as table:
        for index in range(table.info.max_entries):
            table.update(table.key.number(index), bytes(table.value.size))
    with NextHops(pins) as opened:
        yield opened


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
    before = hops.generation
    hops.renew()
    assert hops.generation == before + 1
    write_leases(pins)
    assert hops.generation == before + 2
    with PinnedMap(pins.map("leases")) as table:
        (row,) = (each["value"] for each in table.show())
    assert row["generation"] == before + 2
    assert row["hop"] > 0
    assert row["flow"] > 0


@pytest.mark.bpf
def test_a_table_that_fills_is_left_for_the_other_half_and_cleared(
    pins: Pins, hops: NextHops
) -> None:
    with PinnedMap(pins.map("leases")) as table:
        fields = table.value.pack({"generation": 7} | lease_fields(0.01))
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
