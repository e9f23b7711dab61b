"""The reference of all metrics, made of their declarations: docs/metrics.md."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import signaling.metrics
import transceiver.metrics
from relay.admin import catalogue
from relay.exposition import BUILD
from relay.metrics import Metric

PATH = Path(__file__).parents[2] / "docs" / "metrics.md"
COMMAND = "make reference"

SERVICES: dict[str, tuple[str, Sequence[Metric]]] = {
    "Relay": (
        (
            "At the address of `metrics`, with `/healthz` and `/readyz`. With several workers the "
            "numbers are those of all of them, and what is of an event loop or a task is the "
            "supervisor's; the mirror's are absent then."
        ),
        catalogue.METRICS,
    ),
    "Transceiver": (
        "At `/metrics` of each transceiver's control API: each worker has one of its own.",
        transceiver.metrics.METRICS,
    ),
    "Signaling": (
        "At the address of `metrics`, apart from that which clients use.",
        signaling.metrics.METRICS,
    ),
    "All of them": (
        (
            "With those of the process itself that prometheus-client knows, such as "
            "`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds` and "
            "`process_max_fds`."
        ),
        (BUILD,),
    ),
}
EVERY = [metric for _, metrics in SERVICES.values() for metric in metrics]

_HEAD = f"""\
# All metrics

After this page you know what each number means that Icelane tells Prometheus.
[Monitoring](monitoring.md) says how to scrape them, and which alerts and dashboards there are.

Names are `icelane_SERVICE_WHAT_UNIT`, with `_total` for counters; a histogram has `_bucket`,
`_sum` and `_count`. No label has an address, an id or a key in it, and none can be made up by a
client.

This page is made of the code by `{COMMAND}`.
"""


def text() -> str:
    """The page."""
    return "\n".join([_HEAD, *(line for name in SERVICES for line in _section(name))])


def _section(name: str) -> Iterator[str]:
    where, metrics = SERVICES[name]
    yield f"## {name}\n"
    yield f"{where}\n"
    yield "| metric | type | labels | meaning |"
    yield "| --- | --- | --- | --- |"
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        meaning = metric.meaning.replace("verdicts.md", "[verdicts](verdicts.md)")
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {meaning} |"
    yield ""
