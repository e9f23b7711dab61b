"""How busy a region's relays and its Redis are, by what is measured of one packet and request."""

from collections import Counter
from dataclasses import dataclass

from tests.bench.scale import world
from tests.bench.scale.costs import Costs
from tests.bench.scale.fleet import Site

WRITES = ("claim", "release")


@dataclass(frozen=True, slots=True)
class Load:
    """A region over some time.

    Attributes:
        region: It.
        hour: Of the day, UTC.
        relays: How many there are.
        flows: Of its fullest relay.
        cores: That this one's forwarding needs.
        agent: The share of a core that its agent needs.
        memory: Megabytes of its flows, at its agent and in the kernel.
        ports: The share of its upstream ports that are taken or rest.
        calls: Of the region's transceivers.
        setups: Flows a second that its relays began.
        requests: Redis's a second.
        redis: The share of a core that each shard needs.
        megabytes: What all shards keep of flows.
    """

    region: str
    hour: float
    relays: int
    flows: int
    cores: float
    agent: float
    memory: float
    ports: float
    calls: int
    setups: float
    requests: float
    redis: float
    megabytes: float


class Meter:
    """Reads a region's counters now and then.

    Args:
        site: The region's.
        costs: What things cost.
        sample: How many calls a simulated one stands for.
    """

    def __init__(self, site: Site, costs: Costs, sample: int) -> None:
        self._site = site
        self._costs = costs
        self._sample = sample
        self._before = self._requests()

    def read(self, now: float, seconds: float) -> Load:
        """The load since the last reading, which was so many seconds ago."""
        relays, sample = self._site.relays.members, self._sample
        total = self._requests()
        made = {name: sample * (total[name] - self._before[name]) / seconds for name in WRITES}
        self._before = total
        fullest = max(relays, key=lambda each: len(each.calls))
        flows = len(fullest.calls) * sample
        all_flows = sum(len(each.calls) for each in relays) * sample
        rates = made | {"refresh": all_flows / world.LIMITS.store_every}
        own = {name: rate * flows / max(1, all_flows) for name, rate in rates.items()}
        heard = sum(made[name] - own[name] for name in WRITES)
        return Load(
            region=self._site.name,
            hour=round(now / world.HOUR, 2),
            relays=len(relays),
            flows=flows,
            cores=flows * world.PACKETS * self._costs.packet_seconds(flows),
            agent=agent_share(own, heard, self._costs),
            memory=flows * self._costs.flow_bytes / 1e6,
            ports=fullest.busy(now),
            calls=self._site.used * sample,
            setups=made["claim"],
            requests=sum(rates.values()),
            redis=redis_share(rates, len(relays), self._costs) / world.SHARDS,
            megabytes=all_flows * self._costs.record_bytes / 1e6,
        )

    def _requests(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for relay in self._site.relays.members:
            total.update(relay.requests)
        return total


def agent_share(own: dict[str, float], heard: float, costs: Costs) -> float:
    """The share of a core that an agent needs.

    Args:
        own: Requests a second to the mirror, of which each claim is a new session.
        heard: What it is told a second of other relays' flows.
        costs: Of each.
    """
    asked = sum(rate * costs.requests[name].relay for name, rate in own.items())
    told = heard * costs.requests["heard"].relay
    return own["claim"] * costs.setup_seconds + (asked + told) / 1e6


def redis_share(rates: dict[str, float], relays: int, costs: Costs) -> float:
    """The share of a core that these requests a second need, on all shards together."""
    asked = sum(rate * costs.requests[name].redis for name, rate in rates.items())
    told = sum(rates[name] for name in WRITES) * max(0, relays - 1) * costs.listener_us
    return (asked + told) / 1e6
