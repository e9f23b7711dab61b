"""What a running program is told, as its real maps hold it."""

import re
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import pytest

from relay.core.rates import RateLimit, Rates
from relay.dataplane.kernel.config import Settings, UpstreamRange
from relay.dataplane.kernel.ownaddresses import (
    CURRENT,
    FORMER,
    UPSTREAMS,
    VIPS,
    OwnTable,
)
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.settings import write_rates, write_settings
from relay.dataplane.xdp import XdpDataplane
from relay.wire.endpoint import Endpoint
from tests.relay.dataplane.conftest import SETTINGS
from tests.relay.dataplane.loading import VIP, entries, flow

pytestmark = pytest.mark.bpf

HEADER = Path(__file__).parents[4] / "bpf" / "relay.h"


def test_new_settings_replace_the_old_ones_and_touch_no_flow(pins: Pins) -> None:
    with closing(XdpDataplane(pins.instance)) as dataplane:
        dataplane.install(flow(1))
    before = entries(pins)
    vip = Endpoint("203.0.113.11", 3479)
    write_settings(
        pins,
        Settings(
            (vip,),
            (UpstreamRange("2001:db8:2::9", 10, 11),),
            {(2, 6): bytes(range(16))},
            remote=frozenset({5}),
        ),
    )
    with (
        closing(OwnTable(pins, VIPS)) as vips,
        closing(OwnTable(pins, UPSTREAMS)) as upstreams,
        PinnedMap(pins.map("route_keys")) as keys,
    ):
        assert {name: vips.field(n, "own") for n, name in vips.names().items()} == {
            vip.packed: CURRENT,
            VIP.packed: FORMER,  # a flow has it
        }
        (kept, new) = upstreams.names().items()
        assert (kept[1], new[1]) == (
            Endpoint("192.0.2.1", 0).packed[:16],
            Endpoint("2001:db8:2::9", 0).packed[:16],
        )
        assert [upstreams.field(new[0], name) for name in ("first", "last", "own")] == [
            *(10, 11),
            CURRENT,
        ]
        assert upstreams.field(kept[0], "own") == FORMER
        # No route can name the slot that says that a cluster is elsewhere.
        (key, secret), (elsewhere, _) = sorted(keys.items())
        assert keys.key.show(key) == {"cluster": 2, "slot": 6}
        assert keys.key.show(elsewhere) == {"cluster": 5, "slot": 8}
        assert secret == bytes(range(16))
        assert keys.value.show(secret) == {"secret": "(secret)"}
    assert entries(pins) == before


def test_rates_are_written_as_nanoseconds_in_the_programs_order(pins: Pins) -> None:
    def written() -> list[dict[str, int]]:
        with PinnedMap(pins.map("rate_limits")) as limits:
            return [each["value"] for each in limits.show()]

    names = re.findall(r"\tLIMIT_(\w+),", HEADER.read_text("ascii"))
    assert names[-1] == "COUNT"
    assert [each.name for each in fields(Rates)] == [name.lower() for name in names[:-1]]
    try:
        for number, name in enumerate(each.name for each in fields(Rates)):
            write_rates(pins, replace(Rates(), **{name: RateLimit(rate=1000, burst=3)}))
            assert written()[number] == {"cost_ns": 1_000_000, "burst_ns": 3_000_000}
    finally:
        write_rates(pins, Rates())
    assert written()[0] == {"cost_ns": 50_000, "burst_ns": 200_000_000}  # 20,000/s, 4000 at once


def test_settings_bring_their_rates(pins: Pins) -> None:
    write_settings(pins, replace(SETTINGS, rates=replace(Rates(), stun_routed=RateLimit(10, 1))))
    with PinnedMap(pins.map("rate_limits")) as limits:
        first = next(iter(limits.show()))["value"]
    assert first == {"cost_ns": 100_000_000, "burst_ns": 100_000_000}


def test_other_keys_forget_no_cluster_elsewhere(pins: Pins) -> None:
    write_settings(pins, replace(SETTINGS, remote=frozenset({5})))
    with closing(XdpDataplane(pins.instance)) as dataplane:
        dataplane.rekey({(2, 1): bytes(range(16))}, {5})
    with PinnedMap(pins.map("route_keys")) as keys:
        told = [keys.key.show(key) for key in sorted(key for key, _ in keys.items())]
    assert told == [{"cluster": 2, "slot": 1}, {"cluster": 5, "slot": 8}]
