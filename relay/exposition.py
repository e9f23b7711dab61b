"""What is measured, in Prometheus' text format."""

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING, cast

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from relay.metrics import Kind, Measured, Metric, Samples

if TYPE_CHECKING:
    from relay.histogram import Histogram

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
CONTENT_TYPE = CONTENT_TYPE_LATEST

BUILD = Metric("icelane_build_info", Kind.GAUGE, "1, with the version that runs.", ("version",))


def family(metric: Metric, samples: Samples) -> Family:
    """A metric with its samples, as the library has them."""
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        for labels, value in samples.items():
            counted = cast("Histogram", value)
            histogram.add_metric(_values(labels), counted.buckets, counted.sum)
        return histogram
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    found = kind(metric.name, metric.meaning, labels=metric.labels)
    for labels, value in samples.items():
        found.add_metric(_values(labels), cast("float", value))
    return found


def _values(labels: str | tuple[str, ...]) -> list[str]:
    return [labels] if isinstance(labels, str) else list(labels)


class _Measuring(Collector):
    """Measures when somebody asks."""

    def __init__(self, measure: Callable[[], Iterable[Measured]]) -> None:
        self._measure = measure

    def collect(self) -> Iterator[Family]:
        for metric, samples in self._measure():
            yield family(metric, samples)


class Exposition:
    """What a process tells Prometheus: what it measures, its version, and how it is as a process.

    Args:
        measure: Gives what is measured, at each scrape.

    Attributes:
        registry: The same for the library.
    """

    def __init__(self, measure: Callable[[], Iterable[Measured]]) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(_Measuring(measure))
        build: Samples = {version("icelane"): 1.0}
        self.registry.register(_Measuring(lambda: [(BUILD, build)]))
        ProcessCollector(registry=self.registry)

    def text(self) -> bytes:
        """A scrape."""
        return generate_latest(self.registry)
