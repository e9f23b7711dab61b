"""What a running program is told: addresses, keys, and how much of what may reach the agent."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import fields
from random import SystemRandom

from relay.core.rates import RateLimit, Rates
from relay.dataplane.kernel.config import Settings
from relay.dataplane.kernel.flowrecords import FlowRecords
from relay.dataplane.kernel.ownaddresses import UPSTREAMS, VIPS, OwnAddresses
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Instance
from relay.wire.endpoint import Endpoint
from relay.wire.siphash import KEY_SIZE

_SECOND = 1_000_000_000  # nanoseconds
_REMOTE_SLOT = 8  # of no route: says that a cluster is elsewhere; REMOTE_SLOT in bpf/relay.h


def write_settings(pins: Instance, settings: Settings) -> None:
    """Put the settings in force. New ones come before old ones go.

    Raises:
        DataplaneError: The instance is not loaded, or this is not root.
    """
    with closing(FlowRecords(pins)) as flows:
        used = {VIPS: flows.vips(), UPSTREAMS: flows.upstreams()}
        own = OwnAddresses(pins, flows.size, used)
    own.write(
        [vip.packed for vip in settings.vips],
        {
            Endpoint(each.address, 0).packed[:16]: range(each.first, each.last + 1)
            for each in settings.upstreams
        },
        SystemRandom(),
    )
    write_route_keys(pins, settings.route_keys, settings.remote)
    write_rates(pins, settings.rates)


def write_route_keys(
    pins: Instance, route_keys: Mapping[tuple[int, int], bytes], remote: Iterable[int]
) -> None:
    """Verify routes by these keys. New ones come before old ones go.

    Args:
        pins: Where the program is.
        route_keys: The 16-byte keys of route tags, by cluster and key slot.
        remote: The clusters elsewhere, whose tags only their own relays can verify.

    Raises:
        DataplaneError: The instance is not loaded, or this is not root.
    """
    with pins.opened("route_keys") as keys:
        wanted = {_key_id(keys, *name): value for name, value in route_keys.items()}
        wanted |= {_key_id(keys, each, _REMOTE_SLOT): bytes(KEY_SIZE) for each in remote}
        keys.sync(wanted)


def write_rates(pins: Instance, rates: Rates) -> None:
    """Set the rates of what may reach the agent."""
    with pins.opened("rate_limits") as table:
        for index, each in enumerate(fields(rates)):
            limit: RateLimit = getattr(rates, each.name)
            cost = round(_SECOND / limit.rate)
            table.update(
                table.key.number(index),
                table.value.pack({"cost_ns": cost, "burst_ns": cost * limit.burst}),
            )


def _key_id(keys: PinnedMap, cluster: int, slot: int) -> bytes:
    return keys.key.pack({"cluster": cluster, "slot": slot})
