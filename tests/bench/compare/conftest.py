"""Results to report on, with made-up figures, and an arena with a router for a relay."""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.bench.compare.catalogue import Better, Metric, Subject
from tests.bench.compare.model import Measurement
from tests.bench.compare.results import Results
from tests.bench.compare.testbed import Arena
from tests.lab.topology import RELAY

Fill = Callable[..., Results]

SUBJECT = Subject(
    question="rate",
    title="Loss-free rate",
    text="How many packets a second pass.",
    metrics=(Metric("kpps", "thousand packets a second", Better.HIGHER),),
    columns=("flows",),
    reference="ceiling",
)


@pytest.fixture
def subject() -> Subject:
    return SUBJECT


@pytest.fixture
def fill() -> Fill:
    """Makes results of the rate question: a list of values by round for each contestant."""

    def make(*, flows: int = 100, **values: list[float | None]) -> Results:
        rounds = max(map(len, values.values()))
        results = Results({"processor": "one"}, "python -m tests.bench run", "2026-01-01", rounds)
        for contestant, figures in values.items():
            for number, value in enumerate(figures):
                if value is not None:
                    parameters: dict[str, int | str] = {"payload": 160, "flows": flows}
                    measured = Measurement("rate", contestant, "kpps", value, parameters)
                    results.add(measured, number)
        return results

    return make


@pytest.fixture(scope="session")
def routed() -> Iterator[Arena]:
    """An arena in which the kernel forwards whatever comes to the relay's host."""
    # It outlives single tests, which may make arenas of the usual name.
    with Arena(f"test-{os.getpid()}") as made:
        made.hosts[RELAY].sysctl("ipv4/ip_forward", 1)
        yield made
