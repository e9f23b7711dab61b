"""What is measured, in which order, and how long that takes. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CALLS, FLOWS = "calls", "flows"
DATAPLANES = ("xdp", "userspace")
BFD = 5  # milliseconds between packets of BFD, as docs/deploy/bird has it

_START_SECONDS = 15.0  # of a site with its traffic
# What a round of one happening takes, with its end. A flow without a mirror waits for its client's
# next check, and so does whoever looks at it.
_SECONDS, _SECONDS_WITHOUT_MIRROR = 4.3, 9.3


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        times: How often each thing happens to relays with a mirror.
        without_mirror: How often to relays without one.
        calls: Real calls; 0 for none.
        flows: Generated flows; 0 for none.
        rate: Their packets a second, each way.
        ask: Whether transceivers hear whom relays ask them for.
        bfd: Milliseconds between packets of BFD.
    """

    times: int
    without_mirror: int
    calls: int
    flows: int
    rate: float
    ask: bool = True
    bfd: int = BFD


@dataclass(frozen=True, slots=True)
class Form:
    """What is measured in one site.

    Attributes:
        traffic: Calls or flows.
        dataplane: The relays'.
        mirror: Whether they have one.
        times: How often each thing happens.
        count: How many calls or flows.
        rate: Packets a second of a generated flow, each way.
        ask: Whether transceivers hear whom relays ask them for.
        bfd: Milliseconds between packets of BFD.
    """

    traffic: str
    dataplane: str
    mirror: bool
    times: int
    count: int
    rate: float
    ask: bool = True
    bfd: int = BFD

    def __str__(self) -> str:
        """As an operator is told of it."""
        return f"{self.traffic}, {self.dataplane}{'' if self.mirror else ', no mirror'}"

    @property
    def round_seconds(self) -> float:
        """About how long one thing takes to happen once, and to be made good."""
        return _SECONDS if self.mirror else _SECONDS_WITHOUT_MIRROR

    def seconds(self, happenings: int) -> float:
        """About how long all of it takes."""
        return _START_SECONDS + self.times * happenings * self.round_seconds


def forms(scale: Scale, dataplanes: Sequence[str]) -> Iterator[Form]:
    """All that is measured."""
    for times, mirror in ((scale.times, True), (scale.without_mirror, False)):
        for traffic, count in ((CALLS, scale.calls), (FLOWS, scale.flows)):
            for dataplane in dataplanes:
                if times and count:
                    rate, ask, bfd = scale.rate, scale.ask, scale.bfd
                    yield Form(traffic, dataplane, mirror, times, count, rate, ask, bfd)


def command(scale: Scale, dataplanes: Sequence[str], what: Sequence[str]) -> str:
    """What measures the same again; where figures go is left out."""
    parts = [
        f"python -m tests.bench failover --times {scale.times}",
        f"--without-mirror {scale.without_mirror}",
        f"--calls {scale.calls} --flows {scale.flows}",
    ]
    parts += [f"--rate {scale.rate:g}"] * bool(scale.flows)
    parts += [f"--bfd {scale.bfd}"] * (scale.bfd != BFD)
    parts += [f"--dataplane {each}" for each in dataplanes if tuple(dataplanes) != DATAPLANES]
    parts += [f'--what "{each}"' for each in what]
    return " ".join([*parts, *["--no-ask"] * (not scale.ask)])


class Countdown:
    """How long it still takes, by how long it has taken.

    Args:
        seconds: About how long all of it takes.
        now: When it begins, by any clock.
    """

    def __init__(self, seconds: float, now: float) -> None:
        self._seconds = seconds
        self._began = now
        self._done = 0.0

    def done(self, seconds: float) -> None:
        """What was to take so long is done."""
        self._done += seconds

    def minutes_left(self, now: float) -> int:
        """About how many minutes are left, rounded up."""
        pace = (now - self._began) / self._done if self._done else 1.0
        return max(1, -int(-(self._seconds - self._done) * pace // 60))
