"""The run: rounds, in each of which every benchmark of every system is measured.

So what the machine does besides meets all of them alike, and its noise shows as spread.
"""

from collections.abc import Callable, Generator, Iterator, Sequence

from relay.errors import IcelaneError
from tests.bench.compare.benchmarks.benchmark import Benchmark, Measurement
from tests.bench.compare.report.results import Key, Results

Progress = Callable[[str], None]
Stop = Callable[[], bool]


def run(
    benchmarks: Sequence[Sequence[Benchmark]], results: Results, progress: Progress, stop: Stop
) -> Iterator[None]:
    """Measure all, adding to the results; after each benchmark, the caller may store them.

    What fails is noted in the results, and the rest goes on.

    Args:
        benchmarks: What to measure, in groups: the same of one system after the other.
        results: Where figures go; it says how many rounds there are.
        progress: Called with a line about what comes next.
        stop: Asked after each figure whether to take down what is up, and to go no further.
    """
    groups = [[each for each in group if _available(each, results)] for group in benchmarks]
    for system, reason in results.left_out.items():
        progress(f"{system} is left out: {reason}")
    for number in range(results.rounds):
        for benchmark in (each for group in groups for each in _rotated(group, number)):
            what = f"{benchmark.system.name}, {benchmark.name}"
            progress(f"round {number + 1} of {results.rounds}: {what}")
            _measure(benchmark, number, what, results, stop)
            yield
            if stop():
                return


def _available(benchmark: Benchmark, results: Results) -> bool:
    reason = benchmark.system.missing()
    if reason is not None:
        results.left_out[benchmark.system.name] = reason
    return reason is None


def _rotated(group: Sequence[Benchmark], number: int) -> list[Benchmark]:
    """The group in the order of a round: the system that was first comes last in the next one."""
    systems = list(dict.fromkeys(each.system.name for each in group))
    return sorted(group, key=lambda each: (systems.index(each.system.name) - number) % len(systems))


def _measure(benchmark: Benchmark, number: int, what: str, results: Results, stop: Stop) -> None:
    measured = benchmark.measure()
    try:
        for each in measured:
            results.add(_key(each, benchmark.system.name), number, each.value)
            if stop():
                break
        if isinstance(measured, Generator):
            measured.close()  # now, rather than some time later
    except (IcelaneError, OSError) as error:
        results.failures.append(f"{what}: {error}")


def _key(measurement: Measurement, system: str) -> Key:
    parameters = tuple(sorted(measurement.parameters.items()))
    return Key(measurement.benchmark, measurement.metric, parameters, system)
