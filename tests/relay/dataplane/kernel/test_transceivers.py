"""Numbers of transceivers' addresses."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from relay.dataplane.errors import DataplaneFull
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.transceivers import Transceivers
from relay.wire.endpoint import Endpoint

pytestmark = pytest.mark.bpf

ONE, OTHER = Endpoint("192.0.2.2", 5000).packed, Endpoint("2001:db8:2::2", 5001).packed


@pytest.fixture
def table(pins: Pins) -> Iterator[Transceivers]:
    with closing(Transceivers(pins)) as table:
        table.adopt([])
        yield table


def test_an_address_has_one_number_while_a_flow_has_it(table: Transceivers) -> None:
    first, second = table.take(ONE), table.take(OTHER)
    assert first != second
    assert table.take(ONE) == first
    assert (table.packed(first), table.packed(second)) == (ONE, OTHER)
    table.give_back(first)
    table.settle(table.resting.mark)
    assert table.take(ONE) == first


def test_a_number_is_free_after_it_has_rested(table: Transceivers) -> None:
    number = table.take(ONE)
    table.give_back(number)
    assert table.take(OTHER) != number
    table.settle(table.resting.mark)
    assert table.take(Endpoint("192.0.2.9", 1).packed) == number


def test_one_that_comes_back_while_its_number_rests(table: Transceivers) -> None:
    number = table.take(ONE)
    table.give_back(number)
    mark = table.resting.mark
    assert table.take(ONE) == number
    table.settle(mark)
    assert table.take(ONE) == number
    assert table.packed(number) == ONE


def test_a_later_process_goes_on_with_what_is_named(table: Transceivers, pins: Pins) -> None:
    first, second = table.take(ONE), table.take(OTHER)
    with closing(Transceivers(pins)) as later:
        later.adopt([first, first, second])
        assert later.take(OTHER) == second
        later.give_back(first)
        assert not later.resting
        later.give_back(first)
        assert first in later.resting


def test_all_numbers_in_use(table: Transceivers) -> None:
    taken = {table.take(n.to_bytes(18, "big")) for n in range(1, 16_385)}
    assert len(taken) == 16_384
    with pytest.raises(DataplaneFull, match="all of 16,384 transceiver"):
        table.take(ONE)
