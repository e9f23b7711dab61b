"""Array maps as memory."""

from contextlib import closing

import pytest

from relay.dataplane.kernel.memory import MappedArray, fence
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.errors import DataplaneError

pytestmark = pytest.mark.bpf


def test_what_is_stored_is_in_the_map_and_the_other_way_round(pins: Pins) -> None:
    path = pins.map("transceivers")
    with closing(MappedArray(PinnedMap(path))) as memory, PinnedMap(path) as table:
        assert (memory.count, memory.stride) == (table.info.max_entries, 24)
        memory.words[memory.stride // 4 * 5] = 0x01020304
        fence()
        value = table.lookup(table.key.number(5)) or b""
        assert sorted(value[:4]) == [1, 2, 3, 4]
        table.update(table.key.number(6), bytes(range(20)))
        assert bytes(memory.element(6)) == bytes(range(20)) + bytes(4)
        for index in (5, 6):
            table.update(table.key.number(index), bytes(20))
        assert not any(memory.element(5))


def test_all_views_are_of_the_same_bytes(pins: Pins) -> None:
    with closing(MappedArray(pins.opened("flow_routes"))) as memory:
        memory.longs[3] = 1 << 40
        assert memory.octets[24:32].tolist().count(0) == 7
        assert memory.words[6:8].tolist().count(0) == 1
        assert memory.shorts[12:16].tolist().count(0) == 3
        memory.longs[3] = 0


def test_a_view_outlives_the_closing(pins: Pins) -> None:
    memory = MappedArray(pins.opened("flow_routes"))
    element = memory.element(0)
    memory.close()
    assert len(element) == 24


def test_a_map_that_is_not_there(pins: Pins) -> None:
    with pytest.raises(DataplaneError, match="icelane relay load"):
        MappedArray(pins.opened("nothing"))
