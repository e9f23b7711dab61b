"""What expressions of PromQL ask for, found in dashboards and in rules."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
SCRAPE = DEPLOY / "prometheus" / "prometheus.yml"

_SELECTOR = re.compile(r"\b(?:icelane_\w+|process_\w+|up)\b(?:\{[^}]*\})?")
#: What Grafana puts in, here for a moment of a short test.
_FILLED = {"$__rate_interval": "1m", "$instance": ".*"}


def selectors(expression: str) -> list[str]:
    """The vector selectors of an expression, without their ranges."""
    return _SELECTOR.findall(expression)


def names(expression: str) -> set[str]:
    """The metrics of an expression, without what a histogram's series add to their names."""
    named = (each.partition("{")[0] for each in selectors(expression))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}


def panels(folder: Path = DEPLOY / "grafana") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each panel of each dashboard, with the dashboard's name."""
    for path in sorted(folder.glob("*.json")):
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            yield path.stem, panel


def asked() -> dict[str, str]:
    """The expressions of all panels as Prometheus takes them, by where they stand."""
    found = {}
    for dashboard, panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in _FILLED.items():
                expression = expression.replace(name, value)
            found[f"{dashboard}: {panel['title']} ({target['refId']})"] = expression
    return found
