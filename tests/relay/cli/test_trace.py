"""`icelane trace`: what it refuses, and that it ends; tests/netns/test_trace.py follows packets."""

import json
import re

import pytest

from tests.relay.cli.commands import icelane, refused
from tests.relay.cli.conftest import FLOW, HostIcelane


def test_a_client_is_an_address() -> None:
    assert "write an address" in refused(icelane("trace", "example.org", "--instance", "none"))


@pytest.mark.bpf
def test_what_is_not_loaded_is_said() -> None:
    text = refused(icelane("trace", "203.0.113.2", "--instance", "nobody-has-this"), 1)
    assert "No program of nobody-has-this is loaded" in text


@pytest.mark.bpf
@pytest.mark.usefixtures("loaded")
class TestLoaded:
    def test_it_ends_after_its_time(self, host_icelane: HostIcelane, instance: str) -> None:
        command = ("trace", str(FLOW.client), "--seconds", "0.3", "--instance", instance)
        done = host_icelane(*command, "--json")
        assert done.exit_code == 0, done.output
        (summary,) = map(json.loads, done.stdout.splitlines())
        assert (summary["event"], summary["packets"]) == ("summary", 0)
        said = host_icelane(*command).stdout
        found = re.fullmatch(r"0 packets of 198\.51\.100\.7:40001 in (\d+\.\d) s\n", said)
        assert found is not None, said
        assert float(found[1]) >= 0.3
