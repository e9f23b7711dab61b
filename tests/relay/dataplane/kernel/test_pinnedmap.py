"""Maps of real instances are read and written by the layout of their entries."""

import pytest

from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.errors import DataplaneError

pytestmark = pytest.mark.bpf


def test_a_missing_map_names_the_remedy(pins: Pins) -> None:
    with pytest.raises(DataplaneError, match="icelane relay load"):
        PinnedMap(pins.map("nothing"))


def test_a_hash_is_made_to_hold_what_is_wanted(pins: Pins) -> None:
    with PinnedMap(pins.map("route_keys")) as table:
        keys = [number.to_bytes(4, "big") for number in range(3)]
        table.sync({keys[0]: bytes(16), keys[1]: bytes(16)})
        table.sync({keys[1]: b"1234" * 4, keys[2]: bytes(16)})
        assert dict(table.items()) == {keys[1]: b"1234" * 4, keys[2]: bytes(16)}
        assert table.kind == "hash"


def test_per_cpu_values_are_shown_one_by_one(pins: Pins) -> None:
    with PinnedMap(pins.map("counters")) as counters:
        size = counters.value.size
        values = b"".join(bytes([cpu + 1]) * size for cpu in range(bpfsys.possible_cpus()))
        counters.update(counters.key.number(0), values)
        assert counters.by_cpu(counters.lookup(counters.key.number(0)) or b"") == [
            bytes([cpu + 1]) * size for cpu in range(bpfsys.possible_cpus())
        ]
        shown = [each for each in counters.show() if each["key"] == {"": 0}]
    assert [each["cpu"] for each in shown] == list(range(bpfsys.possible_cpus()))
    assert set(shown[0]["value"].values()) == {0x0101010101010101}
