"""What the XDP dataplane aims at, as ratios within a run, and whether a run met it. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.compare.results import Key, Results

Figure = Callable[[Key], float]  # a figure of one round; KeyError where it was not measured


@dataclass(frozen=True, slots=True)
class Aim:
    """An aim.

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
    """What a run says about an aim.

    Attributes:
        aim: The aim.
        value: The median over the rounds.
        met: Whether that is enough.
    """

    aim: Aim
    value: float
    met: bool


def _rate(contestant: str, flows: int = 100) -> Key:
    return Key("rate", "kpps", (("flows", flows), ("payload", 160)), contestant)


def _cost(contestant: str) -> Key:
    return Key("cpu", "ns_per_packet", (("flows", 100), ("payload", 160)), contestant)


def _round_trip(contestant: str, metric: str, load: str) -> Key:
    parameters = (("load", load), ("path", "round trip"), ("payload", 160))
    return Key("latency", metric, parameters, contestant)


def _above_routing(of: Figure, contestant: str, metric: str, load: str) -> float:
    """What a contestant adds to a round trip, in microseconds."""
    return of(_round_trip(contestant, metric, load)) - of(_round_trip(_ROUTING, metric, load))


_XDP, _GO, _ROUTING = "icelane xdp", "Go relay", "plain routing"

AIMS = (
    Aim(
        "loss-free rate, divided by the ceiling's",
        lambda of: of(_rate(_XDP)) / of(_rate("ceiling")),
        0.7,
        at_least=True,
    ),
    Aim(
        "loss-free rate, divided by the Go relay's",
        lambda of: of(_rate(_XDP)) / of(_rate(_GO)),
        10,
        at_least=True,
        digits=1,
    ),
    Aim(
        "loss-free rate, divided by that of nftables",
        lambda of: of(_rate(_XDP)) / of(_rate("nftables")),
        3,
        at_least=True,
        digits=1,
    ),
    Aim(
        "loss-free rate with 100 flows, divided by that with 100,000",
        lambda of: of(_rate(_XDP)) / of(_rate(_XDP, 100_000)),
        2,
    ),
    Aim(
        "processor time a packet, divided by the Go relay's",
        lambda of: of(_cost(_XDP)) / of(_cost(_GO)),
        1 / 15,
        digits=3,
    ),
    Aim(
        "microseconds that a round trip takes longer than by plain routing, p50, idle",
        lambda of: _above_routing(of, _XDP, "p50_us", "idle"),
        3,
    ),
    Aim(
        "the same at p99 under load, divided by what the Go relay adds",
        lambda of: (
            _above_routing(of, _XDP, "p99_us", "50 kpps")
            / _above_routing(of, _GO, "p99_us", "50 kpps")
        ),
        0.1,
    ),
)


def outcomes(aims: Sequence[Aim], results: Results) -> Iterator[Outcome]:
    """The outcomes of those aims for which there are figures."""
    for aim in aims:
        values = [
            value
            for number in range(results.rounds)
            if (value := _value(aim, results, number)) is not None
        ]
        if values:
            value = median(values)
            yield Outcome(aim, value, value >= aim.bound if aim.at_least else value <= aim.bound)


def _value(aim: Aim, results: Results, number: int) -> float | None:
    try:
        return aim.value(lambda key: results.figures[key][number])
    except (KeyError, ZeroDivisionError):
        return None
