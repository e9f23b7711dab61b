"""Every metric that is declared keeps Prometheus' conventions, and tells nothing of a client."""

import re

import pytest

from relay.metrics import Kind, Metric, alone
from tests.metrics.reference import EVERY

UNITS = ("seconds", "bytes", "info", "length")
#: Whatever has as many values as there are clients, or may be made up by one.
UNBOUNDED = re.compile("id|client|address|ip|key|user|principal|session|call|url|path|model")


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_a_metric_is_named_by_the_conventions(metric: Metric) -> None:
    assert re.fullmatch(r"icelane_(relay|transceiver|signaling|build)_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    if metric.kind is Kind.HISTOGRAM:
        assert metric.name.endswith(UNITS)
    assert metric.meaning.endswith(".")
    assert not [label for label in metric.labels if UNBOUNDED.fullmatch(label)]


def test_each_is_declared_once() -> None:
    names = [metric.name for metric in EVERY]
    assert len(names) == len(set(names))


def test_a_metric_without_labels_has_one_sample() -> None:
    assert alone(2.0) == {(): 2.0}
