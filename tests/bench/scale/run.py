"""All simulations of a run."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from random import Random

from tests.bench.scale import sizing, world
from tests.bench.scale.costs import Costs
from tests.bench.scale.ecmp import BUCKETS, HashThreshold, Resilient
from tests.bench.scale.figures import Event, Figures, Limit, Loss, Relays, Staged
from tests.bench.scale.fleet import Site
from tests.bench.scale.latency import latencies
from tests.bench.scale.load import Load, Meter
from tests.bench.scale.simulation import Change, Scale, Simulation, desk
from tests.bench.scale.takeover import PACKET_EVERY, gaps, percentile
from tests.bench.scale.world import Region

MINUTE = 60.0
LATE = 1.0  # seconds of silence
AIM = 0.150  # seconds: p99 of calls whose relay dies
SPREADS = {"hash-threshold": HashThreshold, "resilient": Resilient}
FEW = 3  # relays, which get one more
RELAYS = (FEW, 4, 6, 8, 12, 16, 24, 32, 48, 64)

_LARGEST = max(
    (each for each in world.REGIONS if each.clustered),
    key=lambda each: sizing.calls_of(each, world.REGIONS),
)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated.

    Attributes:
        sample: How many calls one of the day stands for.
        share: Of all users, in what is not sampled.
        hours: Of the day.
    """

    sample: int
    share: float
    hours: int


FULL = Size(sample=100, share=1.0, hours=24)
QUICK = Size(sample=2_000, share=0.02, hours=3)


def run(costs: Costs, seed: int, size: Size, command: str, say: Callable[[str], None]) -> Figures:
    """Simulate everything.

    Args:
        costs: What things cost.
        seed: Makes it repeatable.
        size: How much.
        command: That asked for it.
        say: Told what is being done.
    """
    maker = _Maker(costs, seed, size, say)
    day, events, losses = list(maker.day()), list(maker.events()), list(maker.losses())
    cluster, unrested = maker.cluster(), maker.unrested()
    sweep = [maker.relays(number, cluster.calls) for number in RELAYS]
    return Figures(
        command=command,
        seed=seed,
        assumptions=world.ASSUMPTIONS,
        sample=size.sample,
        costs=asdict(costs),
        day=day,
        balance=dict(maker.balance),
        events=events,
        unrested=unrested,
        losses=losses,
        sweep=sweep,
        staged=maker.staged(FEW, cluster.calls),
        limits=sorted(limits(cluster, costs), key=lambda each: each.times),
        cluster=cluster,
        latency=latencies(world.REGIONS, costs, seed),
        detour=latencies(world.REGIONS, costs, seed, lost=_LARGEST.name),
    )


class _Maker:
    def __init__(self, costs: Costs, seed: int, size: Size, say: Callable[[str], None]) -> None:
        self._costs, self._seed, self._size, self._say = costs, seed, size, say
        self._clients = sizing.clients_of(_LARGEST, world.REGIONS)
        self._busiest = sizing.busiest(self._clients)
        self.balance: Counter[str] = Counter()

    def day(self) -> Iterator[Load]:
        """Every region at every hour."""
        self._say("a day of the world")
        scale = Scale(world.REGIONS, 0.0, sample=self._size.sample)
        simulation = Simulation(scale, self._costs, self._seed)
        meters = [Meter(site, self._costs, scale.sample) for site in simulation.sites.values()]
        for hour in range(self._size.hours):
            simulation.run((hour + 1) * world.HOUR)
            for meter in meters:
                yield meter.read(simulation.now, world.HOUR)
        self._balanced(simulation)

    def events(self) -> Iterator[Event]:
        """Changes of the largest cluster's fleet, each from its busiest hour."""
        enough = sizing.relays(_LARGEST, world.REGIONS, edges=False)
        few, many = self._relayed(FEW), self._relayed(enough)
        resized = {_GROWN: "add_relay", "4 to 3 relays, drained": "drain_relay"}
        dead = {f"one of {enough} relays dead": "kill_relay"}
        for spread, mirror in (*((each, True) for each in SPREADS), ("resilient", False)):
            self._say(f"changes of relays, {spread}, mirror {'on' if mirror else 'off'}")
            for scale, changes in ((few, resized), (many, dead)):
                yield from self._changed(spread, replace(scale, mirror=mirror), changes)
        self._say("changes of transceivers")
        changes = {"a transceiver's machine drained": "drain_host", "the same dead": "kill_host"}
        yield from self._changed("resilient", many, changes)

    def unrested(self) -> Event:
        """The first of these changes, if freed ports did not rest."""
        self._say("ports that do not rest")
        scale = replace(self._relayed(FEW), quarantine=0.0)
        (event,) = self._changed("resilient", scale, {_GROWN: "add_relay"})
        return event

    def _relayed(self, relays: int) -> Scale:
        return Scale(
            self._regions(self._clients),
            self._busiest,
            edges=False,
            relays={_LARGEST.name: relays},
        )

    def _changed(self, spread: str, scale: Scale, changes: Mapping[str, str]) -> Iterator[Event]:
        scale = replace(scale, spread=SPREADS[spread])
        simulation = Simulation(scale, self._costs, self._seed)
        for what, change in changes.items():
            simulation.run(simulation.now + MINUTE)
            before = Counter(simulation.counts)
            done: Change = getattr(simulation, change)(_LARGEST.name)
            simulation.run(simulation.now + MINUTE)
            since = simulation.counts - before
            yield Event(
                what=what,
                spread=spread,
                mirror=scale.mirror,
                calls=done.calls,
                moved=done.moved,
                late=sum(gap > LATE for gap in done.gaps),
                cut=done.cut,
                refused=since["refused"],
                misrouted=since["misrouted"],
                p50=percentile(done.gaps, 0.5),
                p99=percentile(done.gaps, 0.99),
                worst=max(done.gaps, default=0.0),
            )
        self._balanced(simulation)

    def losses(self) -> Iterator[Loss]:
        """Whole regions, each in its busiest hour: the largest cluster, and one of relays only."""
        relays_only = max(
            (each for each in world.REGIONS if not each.clustered), key=lambda each: each.share
        )
        for region in (_LARGEST, relays_only):
            self._say(f"{region.name} lost")
            regions = self._regions(world.REGIONS)
            simulation = Simulation(Scale(regions, self._busiest), self._costs, self._seed)
            simulation.run(simulation.now + MINUTE)
            before = Counter(simulation.counts)
            simulation.waits.clear()
            done = simulation.lose(region.name)
            others = [each for each in simulation.sites.values() if each.alive]
            relays = [relay for site in others for relay in site.relays.members]
            claims = [relay.requests["claim"] for relay in relays]
            simulation.run(simulation.now + world.REDIAL)
            began = (simulation.counts - before)["arrived"]
            made = [
                relay.requests["claim"] - claim for relay, claim in zip(relays, claims, strict=True)
            ]
            wait = percentile(simulation.waits, 0.99)
            simulation.run(simulation.now + MINUTE - world.REDIAL)
            yield Loss(
                region=region.name,
                calls=done.calls,
                cut=done.cut,
                again=began,
                refused=(simulation.counts - before)["refused"],
                setups=max(made) / world.REDIAL,
                wait=wait,
                places=sum(each.used for each in others)
                / sum(each.room(world.PLACES) for each in others),
                spare=done.calls / self._own(others) - 1,
            )
            self._balanced(simulation)

    def _own(self, sites: Sequence[Site]) -> float:
        """The calls of these sites' own busiest hours."""
        regions = self._regions(world.REGIONS)
        names = {each.name for each in sites}
        return sum(
            sizing.calls_of(each, regions)
            for each in regions
            if each.clustered and each.name in names
        )

    def cluster(self) -> Load:
        """The largest cluster in its busiest hour, as it is sized."""
        self._say("the largest cluster")
        scale = Scale(self._regions(self._clients), self._busiest, edges=False)
        simulation = Simulation(scale, self._costs, self._seed)
        meter = Meter(simulation.sites[_LARGEST.name], self._costs, 1)
        simulation.run(simulation.now + 2 * MINUTE)  # ports rest for as long
        self._balanced(simulation)
        return meter.read(simulation.now, 2 * MINUTE)

    def relays(self, number: int, calls: int) -> Relays:
        """So many relays, one of which dies."""
        flows = round(calls / number)
        coming = round(flows / (number - 1))
        silent = {}
        for mirror in (True, False):
            random = Random(f"{self._seed}.{number}")
            found = gaps(coming, calls - flows, desk(self._costs, mirror=mirror), random)
            silent[mirror] = [world.DETECTION + each for each in found]
        median, most, worst = (percentile(silent[True], share) for share in (0.5, 0.99, 1.0))
        return Relays(number, flows, median, most, worst, percentile(silent[False], 0.99))

    def staged(self, relays: int, calls: int) -> Staged:
        """A relay more, to which the buckets of resilient hashing come one by one."""
        random = Random(f"{self._seed}.staged")
        clients, steps = max(1, round(calls / BUCKETS)), BUCKETS // (relays + 1)
        pause = 2 * max(PACKET_EVERY, clients * self._costs.setup_seconds)
        table = desk(self._costs)
        found = [each for _ in range(steps) for each in gaps(clients, calls, table, random)]
        return Staged(relays, steps, clients, pause, percentile(found, 0.99), max(found))

    def _regions(self, regions: Sequence[Region]) -> list[Region]:
        return [each.scaled(self._size.share) for each in regions]

    def _balanced(self, simulation: Simulation) -> None:
        self.balance.update(simulation.counts)
        self.balance["active"] += len(simulation.active)


_GROWN = "3 to 4 relays"


def limits(cluster: Load, costs: Costs) -> Iterator[Limit]:
    """What may fill in a cluster."""
    relays, flows = cluster.relays, cluster.flows
    table = desk(costs)
    left = AIM - world.DETECTION  # of that time, once routers send clients elsewhere
    yield Limit(
        f"clients of a dead relay that each other one takes over within {AIM * 1000:.0f} ms, "
        f"{world.DETECTION * 1000:.0f} of them to notice",
        flows / max(1, relays - 1),
        left / table.service,
        "more and smaller relays; beyond that, an agent that takes clients over faster",
    )
    yield Limit(
        "neighbours' records that a relay keeps in mind",
        flows * max(1, relays - 1),
        table.noted,
        "more upstream addresses (a relay notes as many as it has ports), or more VIPs",
    )
    yield Limit(
        "a relay's upstream ports, with those that rest",
        cluster.ports,
        1.0,
        "another upstream address, or another relay",
    )
    yield Limit(
        "cores that forward",
        cluster.cores,
        world.CORES,
        "a network card with more queues, or another relay",
    )
    yield Limit(
        "a relay's agent: new calls, the mirror, what others tell",
        cluster.agent,
        1.0,
        "another relay; beyond that, fewer neighbours for each VIP",
    )
    yield Limit("processor time of a shard of Redis", cluster.redis, 1.0, "another shard")
    yield Limit(
        "places of transceivers",
        cluster.calls,
        sizing.slots(_LARGEST, world.REGIONS) * world.PLACES,
        "more transceivers; calls spill over to the next cluster meanwhile",
    )
