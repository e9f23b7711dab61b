"""docs/metrics.md is what the code declares."""

from tests.metrics import reference
from tests.metrics.reference import COMMAND, EVERY, PATH


def test_the_page_is_of_the_code_as_it_is() -> None:
    assert PATH.read_text("utf-8") == reference.text(), f"make it anew: {COMMAND}"


def test_every_metric_has_its_line() -> None:
    lines = reference.text().splitlines()
    for metric in EVERY:
        (line,) = [line for line in lines if line.startswith(f"| `{metric.name}` |")]
        assert metric.kind in line
        assert all(f"`{label}`" in line for label in metric.labels)
