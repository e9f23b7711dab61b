"""The reference of metrics is what the code declares."""

from tests.metrics import reference
from tests.metrics.reference import EVERY


def test_every_metric_has_its_line() -> None:
    lines = reference.text().splitlines()
    for metric in EVERY:
        (line,) = [line for line in lines if line.startswith(f"| `{metric.name}` |")]
        assert metric.kind in line
        assert all(f"`{label}`" in line for label in metric.labels)
