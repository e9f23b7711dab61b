"""Which relay an answer advertises, by where the client is. Pure."""

from collections.abc import Iterable, Sequence
from random import Random

from relay.config.registry import Ingress
from signaling.placement import Near
from signaling.regions import Regions


def steer(
    region: str | None,
    client: str,
    ingresses: Iterable[Ingress],
    regions: Regions,
    random: Random,
) -> Ingress | None:
    """Choose the ingress for a client: one near to him that takes new clients.

    What counts is the region that the edge tells, then that of his prefix, then the default; where
    those, and the ones that may stand in for them, have none, any other will do.

    Args:
        region: The client's, as the edge tells it.
        client: His address, or the /64 of it.
        ingresses: Those that there are.
        regions: The operator's table.
        random: The source of randomness.

    Returns:
        The ingress, or None where none takes new clients.
    """
    free = [each for each in ingresses if not each.closed]
    for wanted in (region, regions.of_client(client), regions.default):
        for name in regions.order(wanted) if wanted is not None else ():
            if there := [each for each in free if each.region == name]:
                return _spread(there, random)
    return _spread(free, random) if free else None


def near_to(ingress: Ingress, regions: Regions) -> Near:
    """Where a call that comes in there wants its transceiver to be."""
    order = regions.order(ingress.region) if ingress.region is not None else ()
    return Near(order, ingress.clusters, regions.spill)


def _spread(ingresses: Sequence[Ingress], random: Random) -> Ingress:
    """The one with more room of two random ones; of equals, any."""
    pair = random.sample(ingresses, min(2, len(ingresses)))
    return min(pair, key=lambda each: each.taken)
