"""The simulation: calls come, are routed and placed, and end, while the fleet changes. Pure.

One simulated call may stand for several (`Scale.sample`): a fleet's parts are then as much smaller.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random

from relay.core.ports import QUARANTINE
from relay.mirror import asked
from tests.bench.scale import sizing, world
from tests.bench.scale.costs import Costs
from tests.bench.scale.ecmp import SPACE, Resilient, Spread
from tests.bench.scale.fleet import Call, Relay, Site, Slot
from tests.bench.scale.takeover import Desk, gaps
from tests.bench.scale.world import Region


@dataclass(frozen=True, slots=True)
class Scale:
    """What is simulated.

    Attributes:
        regions: Whose clients there are.
        start: Seconds after midnight in UTC.
        edges: Whether clients come in by their own region's relays.
        sample: How many calls a simulated one stands for.
        spread: How routers spread clients over relays.
        mirror: Whether relays mirror flows.
        quarantine: Seconds for which freed ports rest.
        relays: How many a region has; those that are missing get what they need.
    """

    regions: Sequence[Region]
    start: float
    edges: bool = True
    sample: int = 1
    spread: Callable[[list[Relay]], Spread[Relay]] = Resilient
    mirror: bool = True
    quarantine: float = QUARANTINE
    relays: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Change:
    """What a change of the fleet did.

    Attributes:
        calls: How many there were.
        moved: How many came to another relay.
        cut: How many ended by it.
        gaps: Seconds of silence of those that moved.
    """

    calls: int
    moved: int = 0
    cut: int = 0
    gaps: list[float] = field(default_factory=list)


def desk(costs: Costs, *, mirror: bool = True) -> Desk:
    """How a relay takes clients over.

    Args:
        costs: What things cost.
        mirror: Whether relays mirror flows; without, clients' checks alone tell.
    """
    return Desk(
        rate=world.GATE.rate if mirror else 0,
        burst=world.GATE.burst,
        service=costs.setup_seconds,
        noted=world.LIMITS.flows if mirror else 0,
        lookups=asked.MOST,
        check_every=world.CHECK_EVERY,
    )


class Simulation:
    """A world with its calls.

    Args:
        scale: What is simulated.
        costs: What things cost.
        seed: Makes it repeatable.

    Attributes:
        now: Seconds after midnight in UTC.
        counts: Calls that arrived (those that were there at first among them), ended, were cut
            off, refused for want of a place or port, or met a port to which others still sent.
        active: Calls that there are.
        waits: Seconds that new calls waited for an agent.
        sites: By region.
    """

    def __init__(self, scale: Scale, costs: Costs, seed: int) -> None:
        self.scale = scale
        self.now = scale.start
        self.counts: Counter[str] = Counter()
        self.active: dict[Call, None] = {}
        self.waits: list[float] = []
        self._costs = costs
        self._random = Random(f"{seed}")
        self._numbers, self._names, self._order = count(), count(), count()
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._most = sum(each.most for each in scale.regions) / scale.sample
        self.sites = {each.name: self._site(each) for each in world.REGIONS}
        self._nearest = {
            each.name: [self.sites[near.name] for near in world.nearest(each)]
            for each in scale.regions
        }
        self._populate()
        self.at(self._gap(), self._arrive)

    # The agenda

    def at(self, moment: float, happens: Callable[..., None], *arguments: object) -> None:
        """Let something happen at a moment."""
        heapq.heappush(self._agenda, (moment, next(self._order), happens, arguments))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._agenda[0][0] <= until:
            self.now, _, happens, arguments = heapq.heappop(self._agenda)
            happens(*arguments)
        self.now = until

    # Calls

    def _populate(self) -> None:
        """The calls that are there at first: as many as M/G/inf has, some way through."""
        for region in self.scale.regions:
            mean = region.rate(self.now) * world.MEAN / self.scale.sample
            # The normal distribution is near enough to Poisson's here.
            for _ in range(max(0, round(self._random.gauss(mean, mean**0.5)))):
                self._begin(region.name, self.now + world.rest(self._random), new=False)

    def _arrive(self) -> None:
        rates = [each.rate(self.now) / self.scale.sample for each in self.scale.regions]
        if self._random.random() * self._most < sum(rates):  # thinning, by Lewis and Shedler
            (region,) = self._random.choices(self.scale.regions, rates)
            self._begin(region.name, self.now + world.length(self._random))
        self.at(self._gap(), self._arrive)

    def _gap(self) -> float:
        return self.now + self._random.expovariate(self._most)

    def _begin(self, region: str, ends: float, *, new: bool = True) -> None:
        self.counts["arrived"] += 1
        placed = self._place(region)
        site = self._ingress(region, placed)
        if placed is None or site is None:
            self.counts["refused"] += 1
            return
        slot = placed.choose(self._random, world.PLACES)
        if slot is None:
            self.counts["refused"] += 1
            return
        call = Call(next(self._numbers), region, self._random.randrange(SPACE), ends, slot)
        for stage in dict.fromkeys((site, placed)):
            relay = stage.relays.of(call.address)
            if not self._give(call, relay):
                self.counts["refused"] += 1
                self._let_go(call)
                return
            if new:
                wait = relay.set_up(self.now, self._costs.setup_seconds * self.scale.sample)
                self.waits.append(wait)
        slot.calls.add(call)
        placed.used += 1
        self.active[call] = None
        self.at(ends, self._end, call)

    def _place(self, region: str) -> Site | None:
        """The nearest cluster with room."""
        for site in self._nearest[region]:
            if site.alive and site.used < site.room(world.PLACES):
                return site
        return None

    def _ingress(self, region: str, placed: Site | None) -> Site | None:
        if placed is None or not self.scale.edges or not self.sites[region].alive:
            return placed
        return self.sites[region]

    def _give(self, call: Call, relay: Relay) -> bool:
        meets = relay.take(call, self.now)
        if meets:
            self.counts["misrouted"] += 1
        return meets is not None

    def _end(self, call: Call) -> None:
        if call in self.active:
            self.counts["ended"] += 1
            self._leave_slot(call)
            self._let_go(call)

    def _leave_slot(self, call: Call) -> None:
        del self.active[call]
        call.slot.calls.discard(call)
        self.sites[call.slot.region].used -= 1

    def _let_go(self, call: Call) -> None:
        for relay in list(call.held):
            relay.leave(call, self.now, sent_until=self.now)

    def _cut(self, call: Call, *, silently: bool) -> None:
        """A call breaks, and its client calls again.

        Args:
            call: It.
            silently: Nobody says goodbye to its relays: they find out by its silence.
        """
        self.counts["cut"] += 1
        self._leave_slot(call)
        if silently:
            self.at(self.now + world.LIMITS.idle, self._let_go, call)
        else:
            self._let_go(call)
        again = self.now + self._random.random() * world.REDIAL
        if again < call.ends:
            self.at(again, self._begin, call.region, call.ends)

    # Changes of the fleet

    def add_relay(self, region: str) -> Change:
        """A relay more."""
        site = self.sites[region]
        old = list(site.relays.members)
        site.relays.add(self._relay(region))
        return self._move(site, old)

    def drain_relay(self, region: str) -> Change:
        """The newest relay's route is withdrawn; it forwards what still comes."""
        return self._without_newest(region)

    def kill_relay(self, region: str) -> Change:
        """The newest relay's machine is gone; routers notice after a while."""
        return self._without_newest(region, dead=True)

    def drain_host(self, region: str) -> Change:
        """A transceiver's machine takes no new calls; those that it has go on."""
        site = self.sites[region]
        site.close([slot for slot in site.slots if slot.host == site.slots[0].host])
        return Change(len(self.active))

    def kill_host(self, region: str) -> Change:
        """A transceiver's machine is gone, with its calls."""
        site = self.sites[region]
        lost = [slot for slot in site.slots if slot.host == site.slots[0].host]
        site.close(lost)
        change = Change(len(self.active))
        for call in [each for each in self.active if each.slot in lost]:
            self._cut(call, silently=True)
            change.cut += 1
        return change

    def lose(self, region: str) -> Change:
        """All of a region is gone: relays and transceivers."""
        site = self.sites[region]
        site.alive = False
        site.close(site.slots)
        there = set(site.relays.members)
        change = Change(len(self.active))
        for call in list(self.active):
            if call.slot.region == region or not there.isdisjoint(call.held):
                self._cut(call, silently=True)
                change.cut += 1
        return change

    def _without_newest(self, region: str, *, dead: bool = False) -> Change:
        site = self.sites[region]
        old = list(site.relays.members)
        site.relays.remove(old[-1])
        return self._move(site, old, dead=old[-1] if dead else None)

    def _move(self, site: Site, old: Sequence[Relay], dead: Relay | None = None) -> Change:
        change = Change(len(self.active))
        moved: dict[Relay, list[tuple[Call, Relay]]] = {}
        for relay in old:
            for call in relay.calls:
                to = site.relays.of(call.address)
                if to is not relay and call in self.active:
                    moved.setdefault(to, []).append((call, relay))
        flows = sum(len(relay.calls) for relay in {*old, *site.relays.members})
        for to, coming in moved.items():
            found = gaps(len(coming), flows - len(to.calls), self.desk, self._random)
            for (call, relay), wait in zip(coming, found, strict=True):
                gap = wait + (world.DETECTION if relay is dead else 0.0)
                change.moved += 1
                change.gaps.append(gap)
                sent_until = self.now if relay is dead else self.now + gap
                relay.leave(call, self.now, sent_until, request="")
                if not self._give(call, to):
                    self._cut(call, silently=False)
                    change.cut += 1
        return change

    # The fleet

    @property
    def desk(self) -> Desk:
        """How a relay takes clients over."""
        return desk(self._costs, mirror=self.scale.mirror)

    def _site(self, region: Region) -> Site:
        number = self.scale.relays.get(
            region.name, sizing.relays(region, self.scale.regions, edges=self.scale.edges)
        )
        relays = [self._relay(region.name) for _ in range(max(1, number))]
        slots = 0
        if region.clustered:
            slots = round(sizing.slots(region, self.scale.regions) / self.scale.sample)
        return Site(
            region.name,
            self.scale.spread(relays),
            [Slot(region.name, each // world.HOST) for each in range(slots)],
        )

    def _relay(self, region: str) -> Relay:
        ports = world.RELAY.ports
        ports = range(ports.start, ports.start + len(ports) // self.scale.sample)
        name = f"{region} {next(self._names)}"
        return Relay(name, world.UPSTREAMS, ports, self.scale.quarantine)
