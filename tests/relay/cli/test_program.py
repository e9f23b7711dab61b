"""`icelane relay load|unload|status` and `icelane maps`, on a real interface."""

import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyroute2 import IPRoute
from typer.testing import CliRunner, Result

from relay.cli.main import app
from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing

pytestmark = pytest.mark.bpf

REGISTRY = """
[[transceiver]]
cluster = 1
slot = 1
generation = 1
address = "192.0.2.2:5000"
"""
FLOW = FlowTuple(
    Endpoint("198.51.100.7", 40001),
    Endpoint("203.0.113.10", 3478),
    Endpoint("192.0.2.1", 20001),
    Endpoint("192.0.2.2", 5000),
    bytes(range(21)),
)
Icelane = Callable[..., Result]


@pytest.fixture(scope="module")
def instance() -> str:
    return f"test-{os.getpid()}-{secrets.token_hex(2)}"


@pytest.fixture(scope="module")
def host(instance: str) -> Iterator[Host]:
    """A host with the interface a."""
    host = Host(instance, "relay")
    host.create()
    try:
        with IPRoute(netns=host.namespace) as netlink:
            netlink.link("add", ifname="a", kind="veth", peer="a-far")
        yield host
    finally:
        host.remove()


@pytest.fixture(scope="module")
def icelane(host: Host) -> Icelane:
    """Runs the command in the host."""

    def run(*arguments: str, terminal: int = 200) -> Result:
        with host.inside():
            return CliRunner(env={"COLUMNS": str(terminal)}).invoke(app, arguments)

    return run


@pytest.fixture(scope="module")
def loaded(
    icelane: Icelane, instance: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Result]:
    """What loading printed; there is a flow then."""
    folder: Path = tmp_path_factory.mktemp("relay")
    (folder / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    keys = KeyRing({0: bytes(32)}, signing_slot=0)
    (folder / "keys.toml").write_text(keys.dumps(), encoding="utf-8")
    try:
        result = icelane(
            *("relay", "load", "--instance", instance, "--interface", "a"),
            *("--vip", "203.0.113.10:3478", "--upstream", "192.0.2.1", "--max-flows", "10"),
            *("--keys", str(folder / "keys.toml"), "--registry", str(folder / "registry.toml")),
        )
        dataplane = xdp.XdpDataplane(instance)
        dataplane.install(FLOW)
        dataplane.close()
        yield result
    finally:
        xdp.unload(instance)


def test_load_says_what_it_did(loaded: Result, instance: str) -> None:
    assert loaded.exit_code == 0
    assert loaded.stdout == f"Loaded {instance} on a (native); room for 10 flows.\n"


@pytest.mark.usefixtures("loaded")
class TestLoaded:
    """What a loaded program shows, without an agent."""

    def test_status(self, icelane: Icelane, instance: str) -> None:
        (status,) = json.loads(icelane("relay", "status", "--instance", instance, "--json").stdout)
        assert status["instance"] == instance
        assert status["interfaces"] == {"a": "native"}
        assert (status["flows"], status["max_flows"]) == (1, 10)
        assert status["counters"]["stun_forged"] == 0
        text = icelane("relay", "status", "--instance", instance).stdout
        assert f"{instance} on a (native)" in text
        assert "flows 1 of 10" in text

    def test_status_lists_all_instances(self, icelane: Icelane, instance: str) -> None:
        found = json.loads(icelane("relay", "status", "--json").stdout)
        assert instance in [status["instance"] for status in found]

    def test_maps_list(self, icelane: Icelane, instance: str) -> None:
        maps = json.loads(icelane("maps", "list", "--instance", instance, "--json").stdout)
        flows = next(each for each in maps if each["name"] == "flows4")
        assert flows == {
            "name": "flows4",
            "type": "hash",
            "key": "tuple4",
            "value": "flow4",
            "max_entries": 20,
        }
        assert "flows4" in icelane("maps", "list", "--instance", instance).stdout

    def test_every_map_can_be_dumped(self, icelane: Icelane, instance: str) -> None:
        for each in json.loads(icelane("maps", "list", "--instance", instance, "--json").stdout):
            command = ("maps", "dump", each["name"], "--instance", instance)
            assert icelane(*command).exit_code == 0
            assert isinstance(json.loads(icelane(*command, "--json").stdout), list)

    def test_addresses_and_ports_are_readable(self, icelane: Icelane, instance: str) -> None:
        dumped = icelane("maps", "dump", "flows4", "--instance", instance, "--json").stdout
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
        self, icelane: Icelane, instance: str, terminal: int
    ) -> None:
        text = icelane("maps", "dump", "flows4", "--instance", instance, terminal=terminal).stdout
        assert "198.51.100.7" in text
        assert max(map(len, text.splitlines())) <= terminal

    def test_keys_are_not_shown(self, icelane: Icelane, instance: str) -> None:
        key = KeyRing({0: bytes(32)}, signing_slot=0).route_key(1, 0)
        for arguments in ((), ("--json",)):
            dumped = icelane("maps", "dump", "route_keys", "--instance", instance, *arguments)
            assert "(secret)" in dumped.stdout
            assert key.hex() not in dumped.stdout

    def test_an_unknown_map_is_named_with_those_there_are(
        self, icelane: Icelane, instance: str
    ) -> None:
        result = icelane("maps", "dump", "flowz", "--instance", instance)
        assert result.exit_code == 1
        assert "has no map 'flowz'; it has build, counters, flows, flows4" in result.stderr


def test_what_is_not_loaded(icelane: Icelane) -> None:
    for arguments in (
        ("relay", "status", "--instance", "never-loaded"),
        ("maps", "list", "--instance", "never-loaded"),
        ("maps", "dump", "flows4", "--instance", "never-loaded"),
    ):
        result = icelane(*arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith("icelane: ")
    unloaded = icelane("relay", "unload", "--instance", "never-loaded")
    assert (unloaded.exit_code, unloaded.stdout) == (0, "never-loaded was not loaded.\n")


def test_load_without_an_interface_says_which_option(icelane: Icelane, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(KeyRing({0: bytes(32)}, signing_slot=0).dumps(), encoding="utf-8")
    registry = tmp_path / "registry.toml"
    registry.write_text(REGISTRY, encoding="utf-8")
    result = icelane(
        *("relay", "load", "--keys", str(keys), "--registry", str(registry)),
        *("--vip", "203.0.113.10:3478", "--upstream", "192.0.2.1"),
    )
    assert result.exit_code == 1
    assert "--interface" in result.stderr


@pytest.mark.usefixtures("loaded")
def test_unload(icelane: Icelane, instance: str) -> None:
    result = icelane("relay", "unload", "--instance", instance, "--json")
    assert json.loads(result.stdout) == {"instance": instance, "unloaded": True}
    assert icelane("relay", "status", "--instance", instance).exit_code == 1
