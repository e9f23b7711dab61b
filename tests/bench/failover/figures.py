"""The figures of fail-over, and their file. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, Self

from tests.bench.errors import BenchError
from tests.bench.failover.calls import PERIOD
from tests.bench.failover.gaps import Gap, quantile
from tests.bench.failover.measure import NOTHING, Measured
from tests.bench.failover.plan import CALLS, FLOWS, Scale


class Kind(NamedTuple):
    """What has a table of its own.

    Attributes:
        traffic: Calls or flows.
        dataplane: The relays'.
        mirror: Whether they have one.
    """

    traffic: str
    dataplane: str
    mirror: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """What one thing has cost the flows of one kind; times are in milliseconds.

    Attributes:
        dataplane: The relays'.
        mirror: Whether they have one.
        traffic: Calls or flows.
        what: What has happened.
        whose: Which flows these are: those of the relay that it happened to, those that were sent
            from another relay to yet another, or those that stayed where they were.
        times: How often it has happened.
        routed: The median time until the router had the new routes.
        count: How many flows, of all times together.
        silence: Of each flow the longer of both directions' longest silences: median, p99, most.
        to_transceiver: The same of this direction.
        to_client: The same of that one.
        lost: Packets lost, of all flows in both directions.
        flows_with_loss: How many flows have lost some.
    """

    dataplane: str
    mirror: bool
    traffic: str
    what: str
    whose: str
    times: int
    routed: float | None
    count: int
    silence: tuple[float, float, float]
    to_transceiver: tuple[float, float, float]
    to_client: tuple[float, float, float]
    lost: int
    flows_with_loss: int

    @property
    def kind(self) -> Kind:
        """Whose table it is in."""
        return Kind(self.traffic, self.dataplane, self.mirror)


ALL, ITS, MOVED, OTHERS = "all", "its own", "moved besides", "not moved"


def figures_of(measured: Measured) -> list[Figure]:
    """What is told of one thing that has happened, of each kind of flows that there were."""
    kinds: dict[str, list[Gap]] = {ALL: [], ITS: [], MOVED: [], OTHERS: []}
    for relay, gap in measured.gaps:
        kinds[_whose(measured, relay, gap)].append(gap)
    return [_figure(measured, whose, found) for whose, found in kinds.items() if found]


def _whose(measured: Measured, relay: str, gap: Gap) -> str:
    if measured.what == NOTHING:
        return ALL
    if gap.before == relay:
        return ITS
    return OTHERS if gap.before == gap.after else MOVED


def _figure(measured: Measured, whose: str, found: Sequence[Gap]) -> Figure:
    routed = quantile(measured.routed, 0.5) if measured.routed else None
    return Figure(
        measured.dataplane,
        measured.mirror,
        measured.traffic,
        measured.what,
        whose,
        measured.times,
        None if routed is None else round(1000 * routed, 1),
        len(found),
        _spread([gap.silence for gap in found]),
        _spread([gap.to_transceiver.silence for gap in found]),
        _spread([gap.to_client.silence for gap in found]),
        sum(gap.lost for gap in found),
        sum(bool(gap.lost) for gap in found),
    )


def periods(scale: Scale) -> dict[str, float]:
    """Milliseconds between two packets, by traffic."""
    return {CALLS: 1000 * PERIOD, FLOWS: 1000 / scale.rate}


def _spread(seconds: Sequence[float]) -> tuple[float, float, float]:
    median, p99, most = (round(1000 * quantile(seconds, share), 1) for share in (0.5, 0.99, 1.0))
    return median, p99, most


@dataclass(frozen=True, slots=True)
class Figures:
    """All that was measured at a time.

    Attributes:
        command: What measured it.
        machine: Where; see `tests.bench.compare.machine`.
        load: Processes that wanted to run there as it began (load average).
        period: Milliseconds between two packets, by traffic.
        figures: What was found.
    """

    command: str
    machine: Mapping[str, str]
    load: float
    period: Mapping[str, float]
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class Record:
    """What has been measured of each kind, most lately.

    Attributes:
        runs: The figures that still hold, of each run.
    """

    runs: Sequence[Figures] = ()

    def renewed(self, found: Figures) -> Self:
        """With new figures in the place of those of the same kinds."""
        kinds = {each.kind for each in found.figures}
        former = (
            replace(run, figures=[each for each in run.figures if each.kind not in kinds])
            for run in self.runs
        )
        return type(self)([*(run for run in former if run.figures), found])

    def dumps(self) -> str:
        """The text of a file."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read what `dumps` wrote.

        Raises:
            BenchError: It is something else.
        """
        try:
            return cls([_figures(each) for each in json.loads(text)["runs"]])
        except (ValueError, KeyError, TypeError):
            raise BenchError("this is not what `python -m tests.bench failover` writes") from None


def _figures(data: Mapping[str, Any]) -> Figures:
    named = {key: data[key] for key in ("command", "machine", "load", "period")}
    return Figures(**named, figures=[_figure_of(each) for each in data["figures"]])


def _figure_of(data: Mapping[str, Any]) -> Figure:
    spreads = {key: tuple(data[key]) for key in ("silence", "to_transceiver", "to_client")}
    return Figure(**{**data, **spreads})
