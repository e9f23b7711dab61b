"""How many relays and slots a region gets: what its busiest hour needs. Pure."""

import math
from collections.abc import Callable, Sequence

from relay.core.ports import QUARANTINE
from tests.bench.scale import world
from tests.bench.scale.world import Region

LEAST = 2  # relays of a region, so that one may be lost


def clients_of(cluster: Region, regions: Sequence[Region]) -> list[Region]:
    """The regions whose calls a cluster has while all clusters live."""
    return [each for each in regions if world.nearest(each, tuple(regions))[0].name == cluster.name]


def calls_of(cluster: Region, regions: Sequence[Region]) -> float:
    """Calls of a cluster in its busiest hour (M/G/inf: rate times mean length)."""
    return _most(clients_of(cluster, regions)) * world.MEAN


def slots(cluster: Region, regions: Sequence[Region]) -> int:
    """Transceivers of a cluster."""
    return math.ceil(calls_of(cluster, regions) * (1 + world.SPARE) / world.PLACES)


def relays(region: Region, regions: Sequence[Region], *, edges: bool) -> int:
    """Relays of a region.

    Args:
        region: It.
        regions: The world.
        edges: Whether clients come in by their own region's relays (Global Relay).
    """
    passing = {region.name: region} if edges else {}
    if region.clustered:
        passing |= {each.name: each for each in clients_of(region, regions)}
    ports = _most(list(passing.values())) * (world.MEAN + QUARANTINE)
    return max(LEAST, math.ceil(ports / (world.LIMITS.flows * world.FULL))) if passing else 0


def busiest(regions: Sequence[Region]) -> float:
    """When most calls begin in these regions together, in seconds after midnight in UTC."""
    return max(_quarters(), key=_together(regions))


def _most(regions: Sequence[Region]) -> float:
    return max(map(_together(regions), _quarters()))


def _together(regions: Sequence[Region]) -> Callable[[float], float]:
    return lambda moment: sum(each.rate(moment) for each in regions)


def _quarters() -> list[float]:
    return [quarter * world.HOUR / 4 for quarter in range(96)]
