"""The run: rounds, in each of which every contestant is asked everything.

So what a machine does besides meets all of them alike, and its moods show as spread.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

from relay.errors import DataplaneError
from tests.bench.compare.model import Contestant, Measurement, Question, SystemQuestion
from tests.bench.compare.results import Results
from tests.bench.compare.testbed import Arena
from tests.lab.errors import LabError

Say = Callable[[str], None]
Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does.

    Attributes:
        rounds: How often everything is measured.
        contestants: Who takes part.
        questions: What is asked of each contestant.
        system: What is asked of whole systems.
    """

    rounds: int
    contestants: Sequence[Contestant]
    questions: Sequence[Question]
    system: Sequence[SystemQuestion]


def run(plan: Plan, results: Results, say: Say, stop: Stop) -> Iterator[None]:
    """Measure all, adding to the results; after each part, the caller may store them.

    What fails is noted in the results, and the rest goes on.

    Args:
        plan: What to do.
        results: Where figures go.
        say: Told what comes next.
        stop: Asked after each figure whether to take down what is up, and to go no further.
    """
    contestants = [
        each for each in plan.contestants if _takes_part(each.name, each.missing(), results, say)
    ]
    system = [
        each
        for each in plan.system
        if _takes_part(f"{each.name}, {each.contestant}", each.missing(), results, say)
    ]
    for number in range(plan.rounds):
        # Who comes first in one round comes last in the next one.
        turn = number % len(contestants) if contestants else 0
        for contestant in contestants[turn:] + contestants[:turn]:
            for flows in _flow_counts(contestant, plan.questions):
                what = f"{contestant.name}, {flows:,} flows"
                say(f"round {number + 1} of {plan.rounds}: {what}")
                _take(results, number, what, _ask(contestant, flows, plan.questions), stop)
                yield
                if stop():
                    return
        for question in system:
            what = f"{question.name}, {question.contestant}"
            say(f"round {number + 1} of {plan.rounds}: {what}")
            _take(results, number, what, question.ask(), stop)
            yield
            if stop():
                return


def _takes_part(name: str, missing: str | None, results: Results, say: Say) -> bool:
    if missing is None:
        return True
    results.left_out[name] = missing
    say(f"{name} is left out: {missing}")
    return False


def _flow_counts(contestant: Contestant, questions: Sequence[Question]) -> list[int]:
    wanted = {flows for question in questions for flows in question.flows}
    return sorted(flows for flows in wanted if flows <= contestant.most_flows)


def _ask(
    contestant: Contestant, flows: int, questions: Sequence[Question]
) -> Iterator[Measurement]:
    with Arena() as arena, contestant.running(arena, flows) as running:
        for question in questions:
            if flows in question.flows:
                yield from question.ask(arena, contestant.name, running)


def _take(
    results: Results, number: int, what: str, measurements: Iterator[Measurement], stop: Stop
) -> None:
    try:
        for measurement in measurements:
            results.add(measurement, number)
            if stop():
                break
        if isinstance(measurements, Generator):
            measurements.close()  # now, rather than some time later
    except (LabError, DataplaneError, OSError) as error:
        results.failures.append(f"{what}: {error}")
