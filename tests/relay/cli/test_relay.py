"""`icelane relay load|unload|status|build`, on a real interface; test_main.py has `relay run`."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from typer.testing import Result

from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.pins import Pins
from relay.wire.endpoint import Endpoint
from tests.ports import free_port
from tests.relay.cli.commands import ICELANE, icelane, refused
from tests.relay.cli.conftest import FLOW, HostIcelane, write_files

pytestmark = pytest.mark.bpf


def test_load_says_what_it_did(loaded: Result, instance: str) -> None:
    assert loaded.exit_code == 0
    assert loaded.stdout.startswith(f"Loaded {instance} on a (native); room for 10 flows.\n")


@pytest.mark.usefixtures("loaded")
class TestLoaded:
    """What a loaded program shows, without an agent."""

    def test_status(self, host_icelane: HostIcelane, instance: str) -> None:
        (status,) = json.loads(
            host_icelane("relay", "status", "--instance", instance, "--json").stdout
        )
        assert status["instance"] == instance
        assert status["interfaces"] == {"a": "native"}
        assert (status["flows"], status["max_flows"]) == (1, 10)
        assert status["counters"]["stun_forged"] == 0
        text = host_icelane("relay", "status", "--instance", instance).stdout
        assert f"{instance} on a (native)" in text
        assert "flows 1 of 10" in text

    def test_status_names_one_in_userspace(self, tmp_path: Path) -> None:
        name = f"test-status-{os.getpid()}"
        files = write_files(tmp_path, Endpoint("127.0.0.1", 5000))
        vip = Endpoint("127.0.0.1", free_port())
        options = ["--vip", str(vip), "--upstream", "127.0.0.1", "--keys", str(files.keys)]
        options += ["--registry", str(files.registry), "--dataplane", "userspace"]
        with subprocess.Popen(
            [ICELANE, "relay", "run", *options, "--instance", name], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            try:
                assert process.stdout.readline().startswith(b"ready")
                for arguments in ([], ["--instance", name]):
                    listed = json.loads(icelane("relay", "status", *arguments, "--json").stdout)
                    (status,) = [each for each in listed if each["instance"] == name]
                    assert (status["dataplane"], status["flows"]) == ("userspace", 0)
                    assert f"{name} in userspace" in icelane("relay", "status", *arguments).stdout
                line = refused(icelane("dataplane", "switch", "xdp", "--instance", name), code=1)
                assert "needs an interface: give one to `icelane relay run`" in line
            finally:
                process.terminate()

    def test_without_a_registry_it_is_loaded_all_the_same(
        self, host_icelane: HostIcelane, instance: str, tmp_path: Path
    ) -> None:
        files = write_files(tmp_path, FLOW.transceiver)
        result = host_icelane(
            *("relay", "load", "--instance", instance, "--interface", "a", "--json"),
            *("--vip", "203.0.113.10:3478", "--upstream", "192.0.2.1", "--max-flows", "10"),
            *("--keys", files.keys),
        )
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["outcome"] == "replaced"

    def test_status_lists_all_instances(self, host_icelane: HostIcelane, instance: str) -> None:
        found = json.loads(host_icelane("relay", "status", "--json").stdout)
        assert instance in [status["instance"] for status in found]

    def test_one_that_is_not_there_is_said_to_be_so(self, host_icelane: HostIcelane) -> None:
        for command in (("relay", "status"), ("stats",), ("top", "--count", "1")):
            told = refused(host_icelane(*command, "--instance", "nosuch"), code=1)
            assert "nosuch is not loaded. `icelane relay load` loads it" in told

    def test_one_of_another_version_hides_no_other(
        self, host_icelane: HostIcelane, instance: str
    ) -> None:
        other = Pins(f"{instance}-other")
        other.directory.mkdir()
        try:
            with bpfsys.pinned(Pins(instance).program) as program:
                bpfsys.obj_pin(program, other.program)
            listed = host_icelane("relay", "status", "--json")
            assert instance in [status["instance"] for status in json.loads(listed.stdout)]
            assert f"icelane: {other.instance}: There is no pinned map" in listed.stderr
            assert host_icelane("relay", "status", "--instance", other.instance).exit_code == 1
        finally:
            other.remove()

    def test_one_that_is_being_unloaded(self, host_icelane: HostIcelane, instance: str) -> None:
        program = Pins(instance).program
        aside = program.with_name(f"{program.name}-aside")
        program.rename(aside)
        try:
            told = host_icelane("relay", "status", "--instance", instance)
        finally:
            aside.rename(program)
        assert "is being unloaded" in refused(told, code=1)


def test_what_is_not_loaded(host_icelane: HostIcelane) -> None:
    assert "never-loaded" in refused(
        host_icelane("relay", "status", "--instance", "never-loaded"), code=1
    )
    unloaded = host_icelane("relay", "unload", "--instance", "never-loaded")
    assert (unloaded.exit_code, unloaded.stdout) == (0, "never-loaded was not loaded.\n")


def test_load_without_an_interface_says_which_option(
    host_icelane: HostIcelane, tmp_path: Path
) -> None:
    files = write_files(tmp_path, FLOW.transceiver)
    result = host_icelane(
        *("relay", "load", "--keys", files.keys, "--registry", files.registry),
        *("--vip", "203.0.113.10:3478", "--upstream", "192.0.2.1"),
    )
    assert "--interface" in refused(result, code=1)


@pytest.mark.usefixtures("loaded")
def test_unload(host_icelane: HostIcelane, instance: str) -> None:
    result = host_icelane("relay", "unload", "--instance", instance, "--json")
    assert json.loads(result.stdout) == {"instance": instance, "unloaded": True}
    assert host_icelane("relay", "status", "--instance", instance).exit_code == 1


def test_build_compiles_once_and_says_where_it_is() -> None:
    first = icelane("relay", "build", "--json")
    again = icelane("relay", "build", "--if-missing", "--json")
    built, found = json.loads(first.stdout), json.loads(again.stdout)
    assert built["seconds"] > 0
    assert "BCC" in built["built_with"]
    assert found == built | {"seconds": None}
    assert Path(built["path"]).exists()
    assert icelane("relay", "build", "--if-missing").stdout == ""
