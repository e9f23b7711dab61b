"""`icelane stats`, of an agent and of a loaded program."""

import json
from pathlib import Path

import pytest

from tests.relay.cli.commands import icelane, refused
from tests.relay.cli.conftest import HostIcelane, Running


def test_an_agents_counters_in_all(relay: Running) -> None:
    result = icelane("stats", "--admin", relay.admin, "--instance", "never-loaded", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    totals = {each["reason"]: each["total"] for each in json.loads(result.stdout)}
    assert totals["received_from_clients"] == 1
    assert "stun_forged" not in totals


def test_rates_of_as_many_looks_as_are_asked_for(relay: Running) -> None:
    options = ("--interval", "0.1", "--count", "2", "--json", "--instance", "never-loaded")
    lines = icelane("stats", "--admin", relay.admin, *options).stdout.splitlines()
    looks = [json.loads(line) for line in lines]
    assert len(looks) == 2
    assert {each["per_second"] for look in looks for each in look} == {0.0}


@pytest.mark.bpf
@pytest.mark.usefixtures("loaded")
def test_a_programs_counters_by_processor_without_an_agent(
    host_icelane: HostIcelane, instance: str
) -> None:
    result = host_icelane("stats", "--instance", instance, "--all", "--json")
    counts = {each["reason"]: each for each in json.loads(result.stdout)}
    assert counts["stun_forged"]["verdict"] == "drop"
    assert counts["not_ours"]["total"] == sum(counts["not_ours"]["by_cpu"])
    text = host_icelane("stats", "--instance", instance, "--all", "--by-cpu").stdout
    assert "cpu 0" in text.splitlines()[0]


def test_without_relay_the_error_says_what_was_looked_for(tmp_path: Path) -> None:
    admin = tmp_path / "nobody.sock"
    line = refused(icelane("stats", "--admin", admin, "--instance", "never-loaded"), code=1)
    assert line.startswith(f"icelane: no agent answers at {admin}")
    assert "and no program" in line
