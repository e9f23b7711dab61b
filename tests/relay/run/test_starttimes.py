"""The steps of a start, in a line for people and as JSON."""

import json

from relay.dataplane.hostfacts import HostFacts
from relay.run.starttimes import StartTimes

LOADED = StartTimes.of(HostFacts(milliseconds=128, attach_milliseconds=8), total=0.412)
RESTORED = LOADED.restored(0.0401, flows=1000)


def test_attaching_is_told_apart_from_loading() -> None:
    assert str(LOADED) == "started in 412 ms: load 120, attach 8"


def test_restoring_comes_on_top() -> None:
    assert str(RESTORED) == ("started in 452 ms: load 120, attach 8, restore of 1,000 flows 40")


def test_a_userspace_relay_without_a_mirror_has_no_steps() -> None:
    assert str(StartTimes.of(HostFacts(), total=0.2)) == "started in 200 ms"


def test_json_has_units_in_its_names_and_takes_it_there_and_back() -> None:
    told = json.loads(json.dumps(RESTORED.as_json()))
    assert told == {
        "total_ms": 452,
        "load_ms": 120,
        "attach_ms": 8,
        "restore_ms": 40,
        "restored_flows": 1000,
    }
    assert StartTimes.from_json(told) == RESTORED
