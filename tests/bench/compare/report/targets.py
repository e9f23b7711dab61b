"""What the XDP dataplane targets at, as ratios within a run, and whether a run met it. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.compare.report.results import Key, Results

Figure = Callable[[Key], float]  # a figure of one round; KeyError where it was not measured


@dataclass(frozen=True, slots=True)
class Target:
    """A target.

    Attributes:
        text: What people read.
        value: Computes what is compared, from the figures of a round.
        bound: The limit.
        at_least: Whether the limit is a lower one.
        digits: Digits after the decimal point.
    """

    text: str
    value: Callable[[Figure], float]
    bound: float
    at_least: bool = False
    digits: int = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run says about a target.

    Attributes:
        target: The target.
        value: The median over the rounds.
        met: Whether that is enough.
    """

    target: Target
    value: float
    met: bool


def _rate(system: str, flows: int = 100) -> Key:
    return Key("rate", "kpps", (("flows", flows), ("payload", 160)), system)


def _cost(system: str) -> Key:
    return Key("cpu", "ns_per_packet", (("flows", 100), ("payload", 160)), system)


def _round_trip(system: str, metric: str, load: str) -> Key:
    parameters = (("load", load), ("path", "round trip"), ("payload", 160))
    return Key("latency", metric, parameters, system)


def _above_routing(of: Figure, system: str, metric: str, load: str) -> float:
    """What a system adds to a round trip, in microseconds."""
    return of(_round_trip(system, metric, load)) - of(_round_trip(_ROUTING, metric, load))


_XDP, _LIMIT, _GO, _ROUTING = "icelane xdp", "constant NAT", "Go relay", "plain routing"


def _of_the_limit(flows: int, bound: float) -> Target:
    """The rate with a number of flows, of what the job allows at the most."""
    return Target(
        f"loss-free rate with {flows:,} flows, divided by constant NAT's",
        lambda of: of(_rate(_XDP, flows)) / of(_rate(_LIMIT, flows)),
        bound,
        at_least=True,
    )


# The limit's part that is to pass with a number of flows, and how many times its processor time a
# packet may take.
RATE_BOUNDS = {100: 0.85, 1_000: 0.85, 40_000: 0.5, 1_000_000: 0.45}
CPU_BOUND = 2.0

TARGETS = (
    *(_of_the_limit(flows, bound) for flows, bound in RATE_BOUNDS.items()),
    Target(
        "processor time a packet, divided by constant NAT's",
        lambda of: of(_cost(_XDP)) / of(_cost(_LIMIT)),
        CPU_BOUND,
    ),
    Target(
        "loss-free rate, divided by the Go relay's",
        lambda of: of(_rate(_XDP)) / of(_rate(_GO)),
        10,
        at_least=True,
        digits=1,
    ),
    Target(
        "loss-free rate, divided by that of nftables",
        lambda of: of(_rate(_XDP)) / of(_rate("nftables")),
        3,
        at_least=True,
        digits=1,
    ),
    Target(
        "processor time a packet, divided by the Go relay's",
        lambda of: of(_cost(_XDP)) / of(_cost(_GO)),
        1 / 15,
        digits=3,
    ),
    Target(
        "microseconds that a round trip takes longer than by plain routing, p50, idle",
        lambda of: _above_routing(of, _XDP, "p50_us", "idle"),
        3,
    ),
    Target(
        "the same at p99 under load, divided by what the Go relay adds",
        lambda of: (
            _above_routing(of, _XDP, "p99_us", "50 kpps")
            / _above_routing(of, _GO, "p99_us", "50 kpps")
        ),
        0.1,
    ),
)


def outcomes(targets: Sequence[Target], results: Results) -> Iterator[Outcome]:
    """The outcomes of those targets for which there are figures."""
    for target in targets:
        values = [
            value
            for number in range(results.rounds)
            if (value := _value(target, results, number)) is not None
        ]
        if values:
            value = median(values)
            yield Outcome(
                target, value, value >= target.bound if target.at_least else value <= target.bound
            )


def _value(target: Target, results: Results, number: int) -> float | None:
    try:
        return target.value(lambda key: results.figures[key][number])
    except (KeyError, ZeroDivisionError):
        return None
