"""What the program costs for one packet.

The kernel's test run gives the time of one run: in turn with a program that does nothing, whose
time is what measuring costs. A run that is repeated would see the packet as it was rewritten, and
measure a miss; and to repeat, the kernel patches itself and waits, so that all caches are cold.

Before a packet's first run the processor has done other things: that is the cost of a packet that
comes by itself. When the same packet is run again right away, program, flow and route are in the
caches: that is the cost under load, where packets come in together.
"""

import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from statistics import quantiles

from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.nexthops import NextHops
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.xdp import XdpDataplane
from relay.errors import DataplaneError
from tests.bench.cost import frames
from tests.bench.cost.site import VIP, VIP6, Site, client
from tests.lab.xdp_program import load_xdp, run_xdp

_DROP, _REDIRECT = 1, 4  # enum xdp_action
_WARM = 5  # runs of a packet, of which the last is taken for a warm one
_NOTHING = bytes.fromhex("b700000002000000 9500000000000000")  # the instructions of `return 2`


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of packet to measure.

    Attributes:
        name: What people call it.
        reason: What it is counted under, without which a run has failed.
        verdict: What the program returns; None where it depends on rates.
        frame: The frame of the flow with a number.
    """

    name: str
    reason: str
    verdict: int | None
    frame: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Cost:
    """Nanoseconds for a packet, above a program that does nothing.

    Attributes:
        flows: How many there were.
        packet: The kind of packet.
        p50: Half of the packets took at most this, on cold caches.
        p90: Nine of ten did.
        warm_p50: The same on warm caches.
        warm_p90: Nine of ten.
    """

    flows: int
    packet: str
    p50: float
    p90: float
    warm_p50: float
    warm_p90: float


def kinds(site: Site) -> list[Kind]:
    """What is measured."""
    to_transceiver = "forwarded_to_transceiver"
    forged = frames.forged_request(site.route)

    def rtp6(number: int) -> bytes:
        return frames.from_client(client(number, ip6=True), VIP6, frames.RTP)

    def unknown(number: int, payload: bytes) -> bytes:
        source = client(number)
        return frames.from_client(source._replace(port=source.port - 1000), VIP, payload)

    return [
        Kind(
            "IPv4 hit",
            to_transceiver,
            _REDIRECT,
            lambda number: frames.from_client(client(number), VIP, frames.RTP),
        ),
        Kind("IPv6 hit", to_transceiver, _REDIRECT, lambda number: rtp6(number & ~1)),
        Kind("cross-family hit", to_transceiver, _REDIRECT, lambda number: rtp6(number | 1)),
        Kind("miss", "unknown_client", None, lambda number: unknown(number, frames.RTP)),
        Kind("forged STUN", "stun_forged", _DROP, lambda number: unknown(number, forged)),
    ]


def measure(site: Site, flows: int, packets: int) -> list[Cost]:
    """The costs of all kinds of packet of random flows.

    Args:
        site: Where.
        flows: How many flows there are in each map.
        packets: How many packets of a kind are run.

    Raises:
        DataplaneError: The program did something else with a packet.
    """
    chance = random.Random(flows)  # it chooses what to measure
    program, nothing = bpfsys.obj_get(Pins(site.instance).program), load_xdp(_NOTHING)
    index = site.index("public")
    try:
        with (
            site.host.inside(),
            closing(XdpDataplane(site.instance)) as dataplane,
            NextHops(Pins(site.instance)) as hops,
        ):
            costs = []
            for kind in kinds(site):
                sent = [kind.frame(chance.randrange(flows)) for _ in range(packets)]
                before = _counted(dataplane, kind)
                # As an agent says all the time; without one, flows ask the FIB more often.
                watched = _each(sent, hops.watched)
                times = _times(kind, watched, (program, nothing), index)
                if _counted(dataplane, kind) - before != packets * (1 + _WARM):
                    raise DataplaneError(f"Not every packet of the {kind.name} was one.")
                costs.append(Cost(flows, kind.name, *times))
            return costs
    finally:
        os.close(program)
        os.close(nothing)


def _counted(dataplane: XdpDataplane, kind: Kind) -> int:
    """Packets of a kind, also those that were too many to pass."""
    counters = dataplane.counters()
    return counters[kind.reason] + counters.get(f"{kind.reason}_limited", 0)


def _each(frames: Iterable[bytes], before: Callable[[], None]) -> Iterator[bytes]:
    for frame in frames:
        before()
        yield frame


def _times(
    kind: Kind, sent: Iterable[bytes], programs: tuple[int, int], index: int
) -> tuple[float, float, float, float]:
    """Median and 90th percentile of what a packet took, cold and warm, less those of nothing."""
    program, nothing = programs
    times: dict[int, list[int]] = {1: [], _WARM: []}
    base: dict[int, list[int]] = {1: [], _WARM: []}
    for frame in sent:
        for runs, taken in times.items():
            base[runs].append(run_xdp(nothing, frame, index, runs).duration)
            done = run_xdp(program, frame, index, runs)
            if kind.verdict not in (None, done.verdict):
                raise DataplaneError(f"A packet of the {kind.name} was not handled as one.")
            taken.append(done.duration)
    return (*_above(times[1], base[1]), *_above(times[_WARM], base[_WARM]))


def _above(times: Sequence[int], base: Sequence[int]) -> tuple[float, float]:
    spent, measuring = quantiles(times, n=100), quantiles(base, n=100)
    return spent[49] - measuring[49], spent[89] - measuring[89]
