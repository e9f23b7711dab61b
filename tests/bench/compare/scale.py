"""How much a run measures: all of it in 17 minutes, or a rough look at everything in 3."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from tests.bench.compare.benchmarks.capacity import Capacity
from tests.bench.compare.benchmarks.continuity import Continuity, Outage
from tests.bench.compare.benchmarks.cpu import Cpu
from tests.bench.compare.benchmarks.latency import Latency
from tests.bench.compare.benchmarks.memory import Memory
from tests.bench.compare.benchmarks.overload import Overload
from tests.bench.compare.benchmarks.rate import Rate
from tests.bench.compare.benchmarks.sessions import Sessions
from tests.bench.compare.benchmarks.setup import CallRate, SetUp
from tests.bench.compare.calls.stage import Way
from tests.bench.compare.model import Contestant, Question, SystemQuestion
from tests.bench.compare.run import Plan
from tests.bench.compare.systems.all import ALL
from tests.bench.compare.systems.ceiling import Ceiling
from tests.bench.compare.systems.coturn import Coturn
from tests.bench.compare.systems.nginx import Nginx
from tests.bench.compare.systems.ownrelay import OwnRelay
from tests.bench.compare.systems.routing import Routing
from tests.bench.errors import BenchError


class ScaleError(BenchError):
    """There is no such contestant or question; the text says which there are."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What a run consists of.

    Attributes:
        rounds: How often everything is measured, unless told otherwise.
        questions: What is asked of each contestant.
        system: What is asked of whole systems.
        contestants: Who takes part.
    """

    rounds: int
    questions: tuple[Question, ...]
    system: tuple[SystemQuestion, ...]
    contestants: tuple[Contestant, ...] = ALL

    def names(self) -> list[str]:
        """The questions' names, each once."""
        names = [each.name for each in self.questions] + [each.name for each in self.system]
        return list(dict.fromkeys(names))

    def only(
        self, contestants: Collection[str] | None, questions: Collection[str] | None
    ) -> "Scale":
        """A part of it; None and nothing mean all.

        Raises:
            ScaleError: There is no contestant or question of a name.
        """
        everybody = [each.name for each in self.contestants]
        everybody += [each.contestant for each in self.system]
        _check("contestant", contestants or (), everybody)
        _check("question", questions or (), self.names())
        return replace(
            self,
            contestants=tuple(
                each for each in self.contestants if not contestants or each.name in contestants
            ),
            questions=tuple(
                each for each in self.questions if not questions or each.name in questions
            ),
            system=tuple(
                each
                for each in self.system
                if (not contestants or each.contestant in contestants)
                and (not questions or each.name in questions)
            ),
        )

    def plan(self, rounds: int | None) -> Plan:
        """What the run does."""
        return Plan(
            rounds=rounds or self.rounds,
            contestants=self.contestants,
            questions=self.questions,
            system=self.system,
        )


def _check(what: str, asked: Collection[str], known: Sequence[str]) -> None:
    for name in asked:
        if name not in known:
            there_are = ", ".join(dict.fromkeys(known))
            raise ScaleError(f"there is no {what} {name!r}; there are {there_are}")


_WITH_FLOWS = tuple(each for each in ALL if not isinstance(each, Ceiling | Routing))
_RESTARTED = tuple(each for each in ALL if isinstance(each, Nginx | OwnRelay))
_OPENED_BY_CHECKS = tuple(each for each in _WITH_FLOWS if not isinstance(each, Coturn))

_RATE, _QUICK_RATE = Rate((100,), seconds=0.2), Rate((100,), payloads=(160,), seconds=0.05)

FULL = Scale(
    rounds=2,
    questions=(
        _RATE,
        Rate((1, 10_000, 100_000, 1_000_000), payloads=(160,), seconds=0.2),
        Overload(_RATE, seconds=0.2),
        Cpu(seconds=0.8),
        Latency(seconds=1.0),
    ),
    system=(
        *(Sessions(each) for each in _OPENED_BY_CHECKS),
        *(Memory(each, flows=5_000) for each in _WITH_FLOWS),
        *(Continuity(dataplane) for dataplane in ("xdp", "userspace")),
        *(Outage(each) for each in _RESTARTED),
        *(SetUp(way, calls=5) for way in Way),
        *(CallRate(way, seconds=3.5) for way in Way),
        *(Capacity(way, steps=(12, 16, 20, 24, 28)) for way in Way),
    ),
)

QUICK = Scale(
    rounds=1,
    questions=(
        _QUICK_RATE,
        Overload(_QUICK_RATE, seconds=0.05),
        Cpu(seconds=0.2),
        Latency(seconds=0.1),
    ),
    system=(
        *(Sessions(each, seconds=0.3, alone=100) for each in _OPENED_BY_CHECKS),
        *(Memory(each, flows=3000) for each in _WITH_FLOWS),
        *(Continuity(dataplane, seconds=0.2, dead=0.3) for dataplane in ("xdp", "userspace")),
        *(Outage(each, seconds=0.2, dead=0.3) for each in _RESTARTED),
        *(SetUp(way, calls=3) for way in Way),
        *(CallRate(way, callers=4, seconds=1.5, warm_up=0.5) for way in Way),
        *(Capacity(way, steps=(4,), seconds=1.0) for way in Way),
    ),
)
