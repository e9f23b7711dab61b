"""The dashboards ask for what there is, and are bound to nobody's Grafana."""

import re
from pathlib import Path

import pytest

from relay.metrics import Metric
from tests.metrics import dashboards
from tests.metrics.promql import asked, names, panels
from tests.metrics.reference import COMMAND, EVERY, SERVICES

KNOWN = {metric.name: metric for metric in EVERY}
#: Those that prometheus-client has of the process.
PROCESS = re.compile(r"process_\w+")


@pytest.mark.parametrize("path", dashboards.texts(), ids=lambda path: path.name)
def test_a_dashboard_is_of_the_code_as_it_is(path: Path) -> None:
    assert path.read_text("utf-8") == dashboards.texts()[path], f"make it anew: {COMMAND}"


@pytest.mark.parametrize("dashboard", dashboards.DASHBOARDS, ids=lambda each: each.uid)
def test_no_data_source_is_baked_in(dashboard: dashboards.Dashboard) -> None:
    text = (dashboards.FOLDER / f"{dashboard.uid}.json").read_text("utf-8")
    sources = re.findall(r'"datasource": \{\s+"type": "prometheus",\s+"uid": "([^"]+)"', text)
    assert set(sources) == {"${datasource}"}
    assert len(sources) == text.count('"datasource": {')


def test_panels_have_places_and_numbers_of_their_own() -> None:
    for name in {dashboard for dashboard, _ in panels()}:
        mine = [panel for dashboard, panel in panels() if dashboard == name]
        places = [tuple(panel["gridPos"].values()) for panel in mine]
        assert len(set(places)) == len(mine)
        assert all(x + w <= 24 for _, w, x, _ in places)
        assert len({panel["id"] for panel in mine}) == len(mine)
        assert all(panel["targets"] and panel["title"] for panel in mine)


@pytest.mark.parametrize(("where", "expression"), asked().items(), ids=list(asked()))
def test_an_expression_asks_for_metrics_that_there_are(where: str, expression: str) -> None:
    named = {name for name in names(expression) if not PROCESS.fullmatch(name)}
    assert named <= KNOWN.keys(), where
    assert names(expression)


def test_every_metric_of_a_service_is_shown() -> None:
    """But those that say less than another one that is shown."""
    shown = {name for expression in asked().values() for name in names(expression)}
    left = {metric.name for _, metrics in SERVICES.values() for metric in metrics} - shown
    assert left == {
        *("icelane_build_info", "icelane_relay_events_total"),
        *("icelane_relay_network_changes_total", "icelane_relay_task_failures_total"),
        *("icelane_transceiver_events_total", "icelane_transceiver_faults_total"),
        *("icelane_transceiver_frames_skipped_total", "icelane_transceiver_tasks"),
        *("icelane_signaling_faults_total", "icelane_signaling_spans_total"),
        "icelane_transceiver_spans_total",
    }


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_labels_that_are_grouped_by_are_there(metric: Metric) -> None:
    for where, expression in asked().items():
        if names(expression) == {metric.name}:
            for labels in re.findall(r"by \(([^)]*)\)", expression):
                wanted = {each.strip() for each in labels.split(",")}
                assert wanted <= {*metric.labels, "le", "instance"}, where
