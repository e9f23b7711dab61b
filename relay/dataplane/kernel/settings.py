"""What a running program is told: addresses, keys, and how much of what may reach the agent."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from random import SystemRandom

from relay.dataplane.kernel.config import Settings
from relay.dataplane.kernel.flowrecords import FlowRecords
from relay.dataplane.kernel.ownaddresses import UPSTREAMS, VIPS, OwnAddresses
from relay.dataplane.kernel.pins import PinnedMap, Pins
from relay.wire.endpoint import Endpoint

_SECOND = 1_000_000_000  # nanoseconds


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How much may reach the agent of one kind of packet, on each processor.

    Attributes:
        rate: Packets a second.
        burst: Packets at once.
    """

    rate: int
    burst: int


# What the agent can take of Binding requests with a valid route, and of their answers, from all
# processors: it sets up some 15,000 sessions a second, and refuses three times as many.
_AGENT = RateLimit(rate=20_000, burst=4000)
# What a processor may pass up in any case: a network card may give it all clients behind one NAT.
_LEAST = RateLimit(rate=5000, burst=1000)


def rate_limits(processors: int) -> Mapping[str, RateLimit]:
    """The limits of each processor, where packets are spread over so many.

    In the order of `enum rate_limited` in bpf/relay.h. Binding requests with a valid route get the
    most of the agent's time, and unknown media just enough to notice that a flow was lost: its
    client sends 50 packets a second. Datagrams in fragments or behind extension headers are rare in
    this field, and the agent alone can judge them.
    """
    stun = RateLimit(
        max(_LEAST.rate, _AGENT.rate // processors), max(_LEAST.burst, _AGENT.burst // processors)
    )
    return {
        "stun_routed": stun,
        "stun_answer": stun,
        "unknown_client": RateLimit(rate=500, burst=100),
        "unknown_transceiver": RateLimit(rate=500, burst=100),
        "wrapped": RateLimit(rate=1000, burst=200),
    }


def write_settings(pins: Pins, settings: Settings) -> None:
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
    with PinnedMap(pins.map("route_keys")) as keys:
        keys.sync({_key_id(keys, *name): value for name, value in settings.route_keys.items()})


def write_rate_limits(pins: Pins, limits: Mapping[str, RateLimit]) -> None:
    """Set the rates of what may reach the agent, as `rate_limits` gives them."""
    with PinnedMap(pins.map("rate_limits")) as table:
        for index, limit in enumerate(limits.values()):
            cost = _SECOND // limit.rate
            table.update(
                table.key.number(index),
                table.value.pack({"cost_ns": cost, "burst_ns": cost * limit.burst}),
            )


def _key_id(keys: PinnedMap, cluster: int, slot: int) -> bytes:
    return keys.key.pack({"cluster": cluster, "slot": slot})
