"""How much a run measures: all of it in 20 minutes, or a rough look at everything in 3."""

from collections.abc import Collection
from dataclasses import dataclass

from tests.bench.compare.benchmarks.benchmark import Benchmark
from tests.bench.compare.benchmarks.callsetup import CallRate, CallSetup
from tests.bench.compare.benchmarks.capacity import Capacity
from tests.bench.compare.benchmarks.continuity import Continuity, Outage
from tests.bench.compare.benchmarks.cpu import Cpu
from tests.bench.compare.benchmarks.forwarding import Probe, forwarding
from tests.bench.compare.benchmarks.latency import Latency
from tests.bench.compare.benchmarks.memory import Memory
from tests.bench.compare.benchmarks.overload import Overload
from tests.bench.compare.benchmarks.rate import Rate
from tests.bench.compare.benchmarks.sessions import Sessions
from tests.bench.compare.calls.calltestbed import CALL_PATHS
from tests.bench.compare.systems.all import ALL
from tests.bench.compare.systems.ceiling import Ceiling
from tests.bench.compare.systems.constants import BareRedirect, ConstantNat
from tests.bench.compare.systems.coturn import Coturn
from tests.bench.compare.systems.icelane import Icelane
from tests.bench.compare.systems.nginx import Nginx
from tests.bench.compare.systems.ownrelay import OwnRelay
from tests.bench.compare.systems.routing import Routing
from tests.bench.compare.testbed.system import UnderTest
from tests.bench.errors import BenchError


class ScaleError(BenchError):
    """There is no such system or benchmark; the text says which there are."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What a run consists of.

    Attributes:
        rounds: How often everything is measured, unless told otherwise.
        probes: What is measured of packets through every system.
        benchmarks: What else is measured, of one system each.
    """

    rounds: int
    probes: tuple[Probe, ...]
    benchmarks: tuple[Benchmark, ...]

    @property
    def systems(self) -> list[UnderTest]:
        """Everything that is measured, each once."""
        found: dict[str, UnderTest] = {each.name: each for each in ALL}
        for each in self.benchmarks:
            found.setdefault(each.system.name, each.system)
        return list(found.values())

    @property
    def names(self) -> list[str]:
        """The benchmarks' names, each once."""
        names = [each.name for each in self.probes] + [each.name for each in self.benchmarks]
        return list(dict.fromkeys(names))

    def select(
        self, systems: Collection[str] | None, benchmarks: Collection[str] | None
    ) -> list[list[Benchmark]]:
        """The benchmarks to run, in groups: the same of one system after the other.

        Args:
            systems: The names of systems; None and nothing mean all.
            benchmarks: The names of benchmarks; None and nothing mean all.

        Raises:
            ScaleError: There is no system or benchmark of a name.
        """
        wanted_systems = _known("system", systems, [each.name for each in self.systems])
        wanted = _known("benchmark", benchmarks, self.names)
        probes = [each for each in self.probes if each.name in wanted]
        groups: dict[str, list[Benchmark]] = {"": list(forwarding(ALL, probes))}
        for each in self.benchmarks:
            if each.name in wanted:
                groups.setdefault(each.name, []).append(each)
        return [
            [each for each in group if each.system.name in wanted_systems]
            for group in groups.values()
        ]


def _known(what: str, asked: Collection[str] | None, known: Collection[str]) -> Collection[str]:
    """The names that were asked for, or all that are known."""
    for name in asked or ():
        if name not in known:
            raise ScaleError(f"there is no {what} {name!r}; there are {', '.join(known)}")
    return asked or known


_ICELANE = tuple(each for each in ALL if isinstance(each, Icelane) and each.workers == 1)
_KNOW_NO_FLOWS = Ceiling | BareRedirect | ConstantNat | Routing
_WITH_FLOWS = tuple(each for each in ALL if not isinstance(each, _KNOW_NO_FLOWS))
_RESTARTED = tuple(each for each in ALL if isinstance(each, Nginx | OwnRelay))
_OPENED_BY_CHECKS = tuple(each for each in _WITH_FLOWS if not isinstance(each, Coturn))

_RATE, _QUICK_RATE = Rate((100,), (160, 1200), seconds=0.2), Rate((100,), seconds=0.05)

FULL = Scale(
    rounds=2,
    probes=(
        _RATE,
        Rate((1, 1_000, 10_000, 40_000, 1_000_000), seconds=0.2),
        Overload(_RATE, seconds=0.2),
        Cpu(seconds=1.6),
        Latency(seconds=1.0),
    ),
    benchmarks=(
        *(Sessions(each) for each in _OPENED_BY_CHECKS),
        *(Memory(each, flows=5_000) for each in _WITH_FLOWS),
        *(Continuity(each) for each in _ICELANE),
        *(Outage(each) for each in _RESTARTED),
        *(CallSetup(path, calls=5) for path in CALL_PATHS),
        *(CallRate(path, seconds=3.5) for path in CALL_PATHS),
        *(Capacity(path, steps=(12, 16, 20, 24, 28)) for path in CALL_PATHS),
    ),
)

QUICK = Scale(
    rounds=1,
    probes=(
        _QUICK_RATE,
        Overload(_QUICK_RATE, seconds=0.05),
        Cpu(seconds=0.4),
        Latency(seconds=0.1),
    ),
    benchmarks=(
        *(Sessions(each, seconds=0.3, sequential=100, half=1_000) for each in _OPENED_BY_CHECKS),
        *(Memory(each, flows=3000) for each in _WITH_FLOWS),
        *(Continuity(each, seconds=0.2, dead=0.3) for each in _ICELANE),
        *(Outage(each, seconds=0.2, dead=0.3) for each in _RESTARTED),
        *(CallSetup(path, calls=3) for path in CALL_PATHS),
        *(CallRate(path, seconds=1.5, callers=4, warm_up=0.5) for path in CALL_PATHS),
        *(Capacity(path, steps=(4,), seconds=1.0) for path in CALL_PATHS),
    ),
)
