"""What a benchmark is: measured once in each round, of one system."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tests.bench.compare.testbed.system import UnderTest

Parameters = Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure, measured once.

    Attributes:
        benchmark: The benchmark's name.
        metric: What the figure is, with its unit: ``kpps``, ``ns_per_packet``, ``p50_us``.
        value: The figure.
        parameters: What it was measured with: ``{"payload": 160, "flows": 100}``.
    """

    benchmark: str
    metric: str
    value: float
    parameters: Parameters = field(default_factory=dict)


class Benchmark(Protocol):
    """What is measured of a system, which the benchmark starts and stops itself."""

    @property
    def name(self) -> str:
        """Names it on the command line and in results."""

    @property
    def system(self) -> UnderTest:
        """What is measured."""

    def measure(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: The system does not start, nothing passes, or an end of the traffic fails.
        """


def measurements(
    benchmark: str, values: Mapping[str, float], parameters: Parameters
) -> Iterator[Measurement]:
    """The measurements of several metrics with the same parameters."""
    for metric, value in values.items():
        yield Measurement(benchmark, metric, value, parameters)
