"""Metrics as they are declared, each once: for what is served, and for docs/metrics.md. Free of IO.

Names follow Prometheus' conventions: `icelane_SERVICE_WHAT_UNIT`, base units, `_total` for
counters. A label has few values, none of which is of a client: no address, no id, no key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from relay.histogram import Histogram


class Kind(StrEnum):
    """What can be asked of a metric."""

    COUNTER = "counter"  # it only grows while the process lives: ask for its rate
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Attributes:
        name: As it is served, without what Prometheus adds to a histogram's.
        kind: What it is.
        meaning: For people, in one sentence.
        labels: The names of its labels.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()


#: By the values of the labels: a tuple of texts, or a text where there is one label.
Samples = Mapping[Any, float | Histogram]
Measured = tuple[Metric, Samples]


def alone(value: float | Histogram) -> Samples:
    """The sample of a metric without labels."""
    return {(): value}
