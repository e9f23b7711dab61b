"""What a running program is told, as its real maps hold it."""

from contextlib import closing

import pytest

from relay.dataplane.kernel.config import Settings, UpstreamRange
from relay.dataplane.kernel.ownaddresses import (
    CURRENT,
    FORMER,
    UPSTREAMS,
    VIPS,
    OwnTable,
)
from relay.dataplane.kernel.pins import PinnedMap, Pins
from relay.dataplane.kernel.settings import (
    RateLimit,
    rate_limits,
    write_rate_limits,
    write_settings,
)
from relay.dataplane.xdp import XdpDataplane
from relay.wire.endpoint import Endpoint
from tests.relay.dataplane.loading import VIP, entries, flow

pytestmark = pytest.mark.bpf


def test_new_settings_replace_the_old_ones_and_touch_no_flow(pins: Pins) -> None:
    with closing(XdpDataplane(pins.instance)) as dataplane:
        dataplane.install(flow(1))
    before = entries(pins)
    vip = Endpoint("203.0.113.11", 3479)
    write_settings(
        pins,
        Settings((vip,), (UpstreamRange("2001:db8:2::9", 10, 11),), {(2, 6): bytes(range(16))}),
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
        ((key, secret),) = keys.items()
        assert keys.key.show(key) == {"cluster": 2, "slot": 6}
        assert secret == bytes(range(16))
        assert keys.value.show(secret) == {"secret": "(secret)"}
    assert entries(pins) == before


def test_rates_are_written_as_nanoseconds_of_credit(pins: Pins) -> None:
    def written() -> list[dict[str, int]]:
        with PinnedMap(pins.map("rate_limits")) as limits:
            return [each["value"] for each in limits.show()]

    try:
        write_rate_limits(pins, dict.fromkeys(rate_limits(1), RateLimit(rate=1000, burst=3)))
        assert written() == [{"cost_ns": 1_000_000, "burst_ns": 3_000_000}] * len(rate_limits(1))
    finally:
        write_rate_limits(pins, rate_limits(1))
    assert written()[0] == {"cost_ns": 50_000, "burst_ns": 200_000_000}  # 20,000/s, 4000 at once


@pytest.mark.parametrize(
    ("processors", "stun"),
    [(1, (20_000, 4000)), (2, (10_000, 2000)), (4, (5000, 1000)), (64, (5000, 1000))],
)
def test_the_agents_share_is_divided_among_processors(
    processors: int, stun: tuple[int, int]
) -> None:
    limits = rate_limits(processors)
    assert limits["stun_routed"] == limits["stun_answer"] == RateLimit(*stun)
    assert limits["unknown_client"] == rate_limits(1)["unknown_client"]
