"""`icelane maps`: what a loaded program keeps, without an agent."""

import json
from typing import Any

import pytest

from tests.relay.cli.commands import refused
from tests.relay.cli.conftest import KEYS, HostIcelane

pytestmark = pytest.mark.bpf


@pytest.mark.usefixtures("loaded")
class TestLoaded:
    def test_maps_list(self, host_icelane: HostIcelane, instance: str) -> None:
        maps = json.loads(host_icelane("maps", "list", "--instance", instance, "--json").stdout)
        flows = next(each for each in maps if each["name"] == "flow_records")
        assert flows.pop("max_entries") > 1
        assert flows == {
            "name": "flow_records",
            "type": "array",
            "key": "__u32",
            "value": "flow",
        }
        assert "flow_records" in host_icelane("maps", "list", "--instance", instance).stdout

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
        def dumped(name: str) -> list[dict[str, Any]]:
            command = ("maps", "dump", name, "--instance", instance, "--json")
            return [each["value"] for each in json.loads(host_icelane(*command).stdout)]

        (flow,) = dumped("flow_records")
        assert (flow["client"], flow["ends.client_port"]) == ("198.51.100.7", 40001)
        assert (flow["packets"], flow["ends.kind"]) == ([0, 0], 1)
        (transceiver,) = dumped("transceivers")
        assert (transceiver["addr"], transceiver["port"]) == ("192.0.2.2", 5000)
        assert {"addr": "203.0.113.10", "port": 3478, "own": 1} in dumped("own_vips")
        assert dumped("flow_routes") == [{"raw": bytes(range(21)).hex()}]

    @pytest.mark.parametrize("terminal", [80, 300])
    def test_a_table_fits_its_terminal(
        self, host_icelane: HostIcelane, instance: str, terminal: int
    ) -> None:
        text = host_icelane(
            "maps", "dump", "flow_records", "--instance", instance, columns=terminal
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
        named = "it has build, counters, dormant_clients, edges, flow_hash, flow_index"
        assert f"has no map 'flowz'; {named}" in result.stderr

    def test_gates_and_counters_have_names(self, host_icelane: HostIcelane, instance: str) -> None:
        def told(*command: str) -> Any:
            options = ("--instance", instance, "--json")
            return json.loads(host_icelane("maps", *command, *options).stdout)

        gates = told("dump", "rate_limits")
        assert [each["key"] for each in gates] == list(range(len(gates)))
        assert {"stun_routed", "ufrag", "network"} <= {each["name"] for each in gates}
        (ufrag,) = told("show", "rate_limits", "ufrag")
        assert ufrag in gates
        assert told("dump", "counters")[0]["key"] == 0
        assert told("dump", "counters")[0]["value"]["not_ours"] >= 0

    def test_an_entry_by_its_number_and_by_its_bytes(
        self, host_icelane: HostIcelane, instance: str
    ) -> None:
        shown = [
            host_icelane("maps", "show", "hops", key, "--instance", instance, "--json").stdout
            for key in ("1", "hex:01000000", "hex:01 00 00 00")
        ]
        assert len(set(shown)) == 1
        assert json.loads(shown[0])[0]["key"] == 1

    def test_raw_is_the_bytes(self, host_icelane: HostIcelane, instance: str) -> None:
        options = ("--raw", "--instance", instance, "--json")
        ((entry),) = json.loads(host_icelane("maps", "show", "own_vips", "0", *options).stdout)
        assert entry["key"] == "00 00 00 00"
        assert bytes.fromhex(entry["value"]).startswith(bytes(10) + b"\xff\xff\xcb\x00\x71\x0a")

    @pytest.mark.parametrize(
        ("command", "code", "words"),
        [
            (("show", "hops", "x"), 2, "'x' is no key of hops: write a number, or its 4 bytes"),
            (("show", "hops", "99999"), 1, "hops has no entry '99999'"),
            (("show", "rate_limits", "nosuch"), 2, "write a name (stun_routed, "),
            (("dump", "route_keys", "--raw"), 2, "route_keys holds secrets"),
        ],
        ids=lambda each: " ".join(each) if isinstance(each, tuple) else None,
    )
    def test_what_cannot_be_shown(
        self,
        host_icelane: HostIcelane,
        instance: str,
        command: tuple[str, ...],
        code: int,
        words: str,
    ) -> None:
        result = host_icelane("maps", *command, "--instance", instance)
        assert words in refused(result, code=code)


@pytest.mark.parametrize("command", [("list",), ("dump", "flow_records")], ids=lambda each: each[0])
def test_what_is_not_loaded(host_icelane: HostIcelane, command: tuple[str, ...]) -> None:
    result = host_icelane("maps", *command, "--instance", "never-loaded")
    assert "never-loaded" in refused(result, code=1)
