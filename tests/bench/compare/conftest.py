"""Results to report on, with made-up figures, and an testbed with a router for a relay."""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.bench.compare.report.results import Key, Results
from tests.bench.compare.report.sections import Better, Metric, Section
from tests.bench.compare.systems.all import ALL
from tests.bench.compare.testbed.system import System
from tests.bench.compare.testbed.testbed import Testbed
from tests.lab.topology import RELAY

Fill = Callable[..., Results]


def system_named(name: str) -> System:
    """The system of a name."""
    (system,) = (each for each in ALL if each.name == name)
    return system


def rate_key(system: str, metric: str = "kpps", *, flows: int = 100) -> Key:
    """The key of a figure of the rate benchmark."""
    return Key("rate", metric, (("flows", flows), ("payload", 160)), system)


SECTION = Section(
    benchmark="rate",
    title="Loss-free rate",
    text="How many packets a second pass.",
    metrics=(Metric("kpps", "thousand packets a second", Better.HIGHER),),
    columns=("flows",),
    reference="ceiling",
)


@pytest.fixture
def section() -> Section:
    return SECTION


@pytest.fixture
def fill() -> Fill:
    """Makes results of the rate benchmark: a list of values by round for each system."""

    def make(*, flows: int = 100, **values: list[float | None]) -> Results:
        rounds = max(map(len, values.values()))
        results = Results({"processor": "one"}, "python -m tests.bench run", "2026-01-01", rounds)
        for system, figures in values.items():
            for number, value in enumerate(figures):
                if value is not None:
                    results.add(rate_key(system, flows=flows), number, value)
        return results

    return make


@pytest.fixture(scope="session")
def routed() -> Iterator[Testbed]:
    """An testbed in which the kernel forwards whatever comes to the relay's host."""
    # It outlives single tests, which may make testbeds of the usual name.
    with Testbed(f"test-{os.getpid()}") as made:
        made.hosts[RELAY].sysctl("ipv4/ip_forward", 1)
        yield made
