"""The figures of a run, as a file keeps them. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from tests.bench.errors import BenchError
from tests.bench.scale.latency import Row
from tests.bench.scale.load import Load


@dataclass(frozen=True, slots=True)
class Event:
    """What a change of the fleet did, and the minute after it.

    Attributes:
        what: The change.
        spread: How routers spread clients.
        mirror: Whether relays mirror flows.
        calls: That there were.
        moved: Of them, to another relay.
        late: Of these, with more than a second of silence.
        cut: Calls that it ended.
        refused: Calls that found no place or port in the minute after.
        misrouted: Calls that were given a port to which somebody still sent for another one.
        p50: Silence of those moved, in seconds: the median.
        p99: Of a hundred one heard nothing for longer.
        worst: The longest.
    """

    what: str
    spread: str
    mirror: bool
    calls: int
    moved: int
    late: int
    cut: int
    refused: int
    misrouted: int
    p50: float
    p99: float
    worst: float


@dataclass(frozen=True, slots=True)
class Loss:
    """A region lost, and the calls that began in the time after.

    Attributes:
        region: It.
        calls: All over the world before.
        cut: That it ended.
        again: Calls that began within the time in which people call again.
        refused: Of them and those of the minute after.
        setups: Flows a second that the busiest relay began meanwhile.
        wait: Seconds that one of a hundred new calls waited for an agent.
        places: The share of all other places that are taken after a minute.
        spare: What other clusters would need beyond their own busiest hour, as a share of that,
            to have all calls; at most 0 where they need nothing.
    """

    region: str
    calls: int
    cut: int
    again: int
    refused: int
    setups: float
    wait: float
    places: float
    spare: float


@dataclass(frozen=True, slots=True)
class Relays:
    """As many relays for the same calls, one of which dies.

    Attributes:
        relays: How many.
        flows: Of each.
        p50: Silence of its clients, in seconds: the median.
        p99: Of a hundred one heard nothing for longer.
        worst: The longest.
        unmirrored: As p99, without a mirror.
    """

    relays: int
    flows: int
    p50: float
    p99: float
    worst: float
    unmirrored: float


@dataclass(frozen=True, slots=True)
class Staged:
    """A relay more, which gets its share of clients little by little.

    Attributes:
        relays: That there were.
        steps: In how many.
        clients: Who come to it at each.
        pause: Seconds between two.
        p99: Their silence, in seconds: of a hundred one heard nothing for longer.
        worst: The longest.
    """

    relays: int
    steps: int
    clients: int
    pause: float
    p99: float
    worst: float


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that may fill.

    Attributes:
        what: It.
        used: How much there is.
        room: How much there may be.
        remedy: What to do when it is full.
    """

    what: str
    used: float
    room: float
    remedy: str

    @property
    def times(self) -> float:
        """How many times today's load it would take."""
        return self.room / self.used


@dataclass(frozen=True, slots=True)
class Figures:
    """All that a run found.

    Attributes:
        command: What made them.
        seed: Of it.
        assumptions: Rows of what, how much, and where from.
        sample: How many calls one of the day stands for.
        costs: Of `tests.bench.scale.costs.Costs`, as they were read.
        day: Loads by region and hour.
        balance: Calls of all simulations together: arrived, ended, cut, refused, active.
        events: Changes of one cluster's fleet.
        unrested: The first of them, if freed ports did not rest.
        losses: Regions lost.
        sweep: Numbers of relays.
        staged: A change in steps.
        limits: What may fill, in the largest cluster at its busiest.
        cluster: That one's load.
        latency: By region.
        detour: The same without the largest cluster.
    """

    command: str
    seed: int
    assumptions: Sequence[Sequence[str]]
    sample: int
    costs: Mapping[str, Any]
    day: Sequence[Load]
    balance: Mapping[str, int]
    events: Sequence[Event]
    unrested: Event
    losses: Sequence[Loss]
    sweep: Sequence[Relays]
    staged: Staged
    limits: Sequence[Limit]
    cluster: Load
    latency: Sequence[Row]
    detour: Sequence[Row]

    def dumps(self) -> str:
        """The text of a file."""
        return json.dumps(_rounded(asdict(self)), indent=1) + "\n"

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read what `dumps` wrote.

        Raises:
            BenchError: It is something else.
        """
        try:
            data = json.loads(text)
            for name, kind in _ROWS.items():
                data[name] = [kind(**row) for row in data[name]]
            for name, kind in _SINGLE.items():
                data[name] = kind(**data[name])
            return cls(**data)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BenchError("this is not what `python -m tests.bench scale` writes") from None


_SINGLE: Mapping[str, Any] = {"unrested": Event, "staged": Staged, "cluster": Load}
_ROWS: Mapping[str, Any] = {
    "day": Load,
    "events": Event,
    "losses": Loss,
    "sweep": Relays,
    "limits": Limit,
    "latency": Row,
    "detour": Row,
}


def _rounded(value: Any) -> Any:
    """Floats of six digits: what comes after is noise, and differs between machines."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {str(name): _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value
