"""A run, with benchmarks that measure nothing real."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.compare.benchmarks.benchmark import Measurement
from tests.bench.compare.report.results import Key, Results
from tests.bench.compare.run import run
from tests.lab.errors import LabError


@dataclass
class Named:
    name: str
    reason: str | None = None

    def missing(self) -> str | None:
        return self.reason


class Counter:
    """Measures how many measurements there have been of all."""

    name = "count"
    measured = 0

    def __init__(self, system: Named, *, fails: bool = False) -> None:
        self.system = system
        self.closed = False
        self._fails = fails

    def measure(self) -> Iterator[Measurement]:
        self.measurements = self._measure()  # a reference, so that only the run ends it
        return self.measurements

    def _measure(self) -> Iterator[Measurement]:
        try:
            for metric in ("first", "second"):
                Counter.measured += 1
                yield Measurement(self.name, metric, Counter.measured, {"b": 2, "a": 1})
                if self._fails:
                    raise LabError("it stopped")
        finally:
            self.closed = True


def empty(rounds: int) -> Results:
    Counter.measured = 0
    return Results({}, "", "", rounds)


def measure(group: list[Counter], results: Results) -> list[str]:
    lines: list[str] = []
    for _ in run([group], results, lines.append, lambda: False):
        pass
    return lines


def test_figures_have_their_system_and_round() -> None:
    results = empty(rounds=2)
    measure([Counter(Named("ours"))], results)
    key = Key("count", "first", (("a", 1), ("b", 2)), "ours")
    assert results.figures[key] == {0: 1, 1: 3}


def test_the_first_of_a_round_is_the_last_of_the_next() -> None:
    systems = [Named("one"), Named("two"), Named("three")]
    group = [Counter(each) for each in (systems[0], systems[0], systems[1], systems[2])]
    lines = [line.split()[-2].rstrip(",") for line in measure(group, empty(rounds=2))]
    assert lines == ["one", "one", "two", "three", "two", "three", "one", "one"]


def test_what_fails_is_noted_and_the_rest_goes_on() -> None:
    results = empty(rounds=1)
    measure([Counter(Named("ours"), fails=True), Counter(Named("theirs"))], results)
    assert results.failures == ["ours, count: it stopped"]
    assert results.systems() == ["ours", "theirs"]


def test_what_is_missing_is_left_out_with_the_reason() -> None:
    results = empty(rounds=1)
    lines = measure([Counter(Named("theirs", "not installed")), Counter(Named("ours"))], results)
    assert results.left_out == {"theirs": "not installed"}
    assert results.systems() == ["ours"]
    assert lines[0] == "theirs is left out: not installed"


def test_a_run_that_is_to_stop_takes_down_what_is_up() -> None:
    results, stopping = empty(rounds=5), Counter(Named("ours"))
    assert len(list(run([[stopping]], results, lambda _: None, lambda: True))) == 1
    assert stopping.closed
    assert len(results.figures) == 1
