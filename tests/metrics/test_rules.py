"""The alert rules and the scrape example, as Prometheus' own tool checks them."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.metrics.promql import ALERTS, SCRAPE, names
from tests.metrics.reference import EVERY

CASES = Path(__file__).with_name("alerts_test.yml")
LIVE = Path(__file__).with_name("test_running.py")

promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="needs prometheus")


def rules() -> list[dict[str, str]]:
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def run(*arguments: str) -> str:
    ran = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@promtool
def test_the_rules_and_the_scrape_example_are_valid() -> None:
    assert f"{len(rules())} rules found" in run("check", "rules", str(ALERTS))
    assert "SUCCESS" in run("check", "config", str(SCRAPE))


@promtool
def test_alerts_that_take_minutes_fire_and_do_not_fire() -> None:
    assert "SUCCESS" in run("test", "rules", str(CASES))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_is_about_metrics_that_there_are(rule: dict[str, str]) -> None:
    known = {metric.name for metric in EVERY} | {"up"}
    assert names(rule["expr"])
    assert names(rule["expr"]) <= known


def test_each_alert_fires_in_a_test() -> None:
    """In a running system, or over minutes that are made up of the same metrics."""
    cases = yaml.safe_load(CASES.read_text("utf-8"))["tests"]
    made_up = {
        case["alertname"]
        for test in cases
        for case in test["alert_rule_test"]
        if case.get("exp_alerts")
    }
    live = {rule["alert"] for rule in rules() if f'"{rule["alert"]}"' in LIVE.read_text("utf-8")}
    assert {rule["alert"] for rule in rules()} == live | made_up


def test_cases_are_made_of_metrics_that_there_are() -> None:
    cases = yaml.safe_load(CASES.read_text("utf-8"))["tests"]
    known = {metric.name for metric in EVERY} | {"up"}
    given = {
        name for test in cases for each in test["input_series"] for name in names(each["series"])
    }
    assert given <= known


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_the_how_to_says_what_to_do(rule: dict[str, str]) -> None:
    text = (ALERTS.parents[2] / "monitoring.md").read_text("utf-8")
    assert f"`{rule['alert']}`" in text
