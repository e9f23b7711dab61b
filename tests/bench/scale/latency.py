"""How soon a call is heard, by region, with and without relays near the clients. Pure.

The number of round trips is measured; where they lead is the difference. Without Global Relay
a client's packets cross the internet to the cluster; with it they reach a relay in his region, and
go on between the operator's own sites.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.bench.scale import world
from tests.bench.scale.costs import Costs
from tests.bench.scale.takeover import percentile
from tests.bench.scale.world import Region

CLIENTS = 4_000  # of each region


@dataclass(frozen=True, slots=True)
class Row:
    """A region's clients, in milliseconds.

    Attributes:
        region: Theirs.
        cluster: Where their calls are.
        through: "the internet" or "Global Relay".
        round_trip: Between client and transceiver, the median.
        p50: From the offer to the first sound, the median.
        p95: Of a hundred five waited for longer.
        p99: Of a hundred one did.
    """

    region: str
    cluster: str
    through: str
    round_trip: float
    p50: float
    p95: float
    p99: float


DIRECT, GLOBAL = "the internet", "Global Relay"


def latencies(regions: Sequence[Region], costs: Costs, seed: int, lost: str = "") -> list[Row]:
    """Both ways for each region.

    Args:
        regions: The world.
        costs: What is measured.
        seed: Makes it repeatable.
        lost: A region that is not there.
    """
    rows = []
    for region in regions:
        cluster = next(each for each in world.nearest(region, tuple(regions)) if each.name != lost)
        edge = region if region.name != lost else cluster
        for through in (DIRECT, GLOBAL):
            random = Random(f"{seed}.{region.name}")  # the same clients both ways
            way = _Way(region, edge if through == GLOBAL else None, cluster)
            rows.append(_row(way, costs, random))
    return rows


@dataclass(frozen=True, slots=True)
class _Way:
    region: Region
    edge: Region | None  # that of a relay on the way
    cluster: Region

    def long(self, near: float) -> tuple[float, float]:
        """Kilometres of internet and between own sites, of a client so far from his city."""
        if self.edge is None:
            return near + self.region.distance(self.cluster), 0.0
        return near + self.region.distance(self.edge), self.edge.distance(self.cluster)

    @property
    def hops(self) -> int:
        return 1 if self.edge in (None, self.cluster) else 2


def _row(way: _Way, costs: Costs, random: Random) -> Row:
    trips, firsts = [], []
    for _ in range(CLIENTS):
        public, own = way.long(world.NEAR * math.sqrt(random.random()))  # evenly over a disc
        trip = _round_trip(public, own, way.hops, costs)
        loss = (world.LOST * public + world.LOST_BACKBONE * own) / 10_000
        repeated = sum(random.random() < loss for _ in range(math.ceil(costs.round_trips)))
        trips.append(trip)
        firsts.append(
            costs.first_audio_ms / 1000 + costs.round_trips * trip + repeated * world.RESENT
        )
    at = (percentile(firsts, share) * 1000 for share in (0.5, 0.95, 0.99))
    trip = percentile(trips, 0.5) * 1000
    through = DIRECT if way.edge is None else GLOBAL
    return Row(
        way.region.name, way.cluster.name, through, round(trip, 1), *(round(each) for each in at)
    )


def _round_trip(public: float, own: float, hops: int, costs: Costs) -> float:
    way = (world.INTERNET * public + world.BACKBONE * own) / world.FIBRE
    return world.ACCESS + 2 * (way + hops * costs.hop_us / 1e6)
