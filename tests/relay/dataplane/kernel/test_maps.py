"""Which pinned maps a program can go on with."""

from dataclasses import replace

import pytest

from relay.dataplane.kernel import objects
from relay.dataplane.kernel.maps import FLOW_MAPS, PINNED, TAILS, TRACE_MAPS, has_layout
from relay.dataplane.kernel.pins import Pins

pytestmark = pytest.mark.bpf


def test_those_of_the_same_sources_fit(pins: Pins) -> None:
    wanted = objects.find_or_build().object
    names = set(wanted.maps) - {TAILS, "steer_sockets", *TRACE_MAPS}
    assert set(FLOW_MAPS) < names == set(pins.maps()) == PINNED
    assert [name for name in names if not has_layout(pins, wanted, name)] == []


def test_another_kind_or_number_of_entries_does_not(pins: Pins) -> None:
    wanted = objects.find_or_build().object
    spec = wanted.maps["ingresses"]
    for other in (replace(spec, type=1), replace(spec, max_entries=spec.max_entries + 1)):
        changed = replace(wanted, maps={**wanted.maps, "ingresses": other})
        assert not has_layout(pins, changed, "ingresses")
    assert has_layout(pins, wanted, "ingresses")
