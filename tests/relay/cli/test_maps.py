"""`icelane maps`: what a loaded program keeps, without an agent."""

import json

import pytest

from tests.relay.cli.commands import refused
from tests.relay.cli.conftest import KEYS, HostIcelane

pytestmark = pytest.mark.bpf


@pytest.mark.usefixtures("loaded")
class TestLoaded:
    def test_maps_list(self, host_icelane: HostIcelane, instance: str) -> None:
        maps = json.loads(host_icelane("maps", "list", "--instance", instance, "--json").stdout)
        flows = next(each for each in maps if each["name"] == "flows4")
        assert flows == {
            "name": "flows4",
            "type": "hash",
            "key": "tuple4",
            "value": "flow4",
            "max_entries": 20,
        }
        assert "flows4" in host_icelane("maps", "list", "--instance", instance).stdout

    def test_every_map_can_be_dumped(self, host_icelane: HostIcelane, instance: str) -> None:
        for each in json.loads(
            host_icelane("maps", "list", "--instance", instance, "--json").stdout
        ):
            command = ("maps", "dump", each["name"], "--instance", instance)
            assert host_icelane(*command).exit_code == 0
            assert isinstance(json.loads(host_icelane(*command, "--json").stdout), list)

    def test_addresses_and_ports_are_readable(
        self, host_icelane: HostIcelane, instance: str
    ) -> None:
        dumped = host_icelane("maps", "dump", "flows4", "--instance", instance, "--json").stdout
        entries = {entry["key"]["src_port"]: entry for entry in json.loads(dumped)}
        assert entries[40001]["key"] == {
            "src": "198.51.100.7",
            "dst": "203.0.113.10",
            "src_port": 40001,
            "dst_port": 3478,
        }
        assert entries[40001]["value"]["rewrite.dst"] == "192.0.2.2"
        assert entries[40001]["value"]["state.route"] == bytes(range(21)).hex()

    @pytest.mark.parametrize("terminal", [80, 300])
    def test_a_table_fits_its_terminal(
        self, host_icelane: HostIcelane, instance: str, terminal: int
    ) -> None:
        text = host_icelane(
            "maps", "dump", "flows4", "--instance", instance, columns=terminal
        ).stdout
        assert "198.51.100.7" in text
        assert max(map(len, text.splitlines())) <= terminal

    def test_keys_are_not_shown(self, host_icelane: HostIcelane, instance: str) -> None:
        key = KEYS.route_key(1, 0)
        for arguments in ((), ("--json",)):
            dumped = host_icelane("maps", "dump", "route_keys", "--instance", instance, *arguments)
            assert "(secret)" in dumped.stdout
            assert key.hex() not in dumped.stdout

    def test_an_unknown_map_is_named_with_those_there_are(
        self, host_icelane: HostIcelane, instance: str
    ) -> None:
        result = host_icelane("maps", "dump", "flowz", "--instance", instance)
        assert result.exit_code == 1
        assert "has no map 'flowz'; it has build, counters, flows, flows4" in result.stderr


@pytest.mark.parametrize("command", [("list",), ("dump", "flows4")], ids=lambda each: each[0])
def test_what_is_not_loaded(host_icelane: HostIcelane, command: tuple[str, ...]) -> None:
    result = host_icelane("maps", *command, "--instance", "never-loaded")
    assert "never-loaded" in refused(result, code=1)
