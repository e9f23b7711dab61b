"""`python -m tests.lab`: what it says, and how it ends."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from tests.lab.__main__ import app
from tests.lab.config import SIGNALING_URL
from tests.lab.lab import Lab


def lab(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_lab_that_is_not_up_has_a_status() -> None:
    as_json = lab("status", "--json", "--name", "nobody-made-this")
    assert as_json.exit_code == 0
    assert json.loads(as_json.stdout) == {"name": "nobody-made-this", "up": False}
    assert "not up" in lab("status", "--name", "nobody-made-this").stdout


@pytest.mark.parametrize("command", [("up",), ("down",), ("exec", "client", "true")])
def test_without_root_the_error_says_what_to_do(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = lab(*command, *(["--name", "x"] if len(command) == 1 else []))
    assert result.exit_code == 1
    assert "sudo" in result.stderr
    assert "Traceback" not in result.output


def test_a_shell_can_be_told_the_hosts() -> None:
    command: Any = get_command(app)
    execute = command.commands["exec"]
    (host,) = [each for each in execute.params if each.name == "host"]
    with execute.make_context("exec", ["client", "true"]) as context:
        offered = [each.value for each in host.shell_complete(context, "")]
    assert {"client", "relay", "transceiver"} <= set(offered)


def test_an_invalid_name_is_refused() -> None:
    result = lab("up", "--name", "../elsewhere")
    assert result.exit_code == 1
    assert "not a valid lab name" in result.stderr


@pytest.mark.netns
def test_a_relay_that_does_not_start_is_reported_with_its_last_lines(
    unused_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.lab.config.PORTS", "1-2")
    result = lab("up", "--dataplane", "userspace", "--name", unused_lab.name)
    assert result.exit_code == 1
    assert "relay ended before it was ready" in result.stderr
    assert "ports" in result.stderr
    assert not unused_lab.is_up
    assert not any(host.exists() for host in unused_lab.hosts.values())


@pytest.mark.netns
def test_xdp_as_another_user_is_refused(unused_lab: Lab) -> None:
    result = lab("up", "--dataplane", "xdp", "--relay-user", "nobody", "--name", unused_lab.name)
    assert result.exit_code == 1
    assert "userspace" in result.stderr


@pytest.mark.netns
def test_a_lab_from_up_to_down(
    unused_lab: Lab, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    name = unused_lab.name
    up = lab("up", "--dataplane", "userspace", "--name", name)
    assert up.exit_code == 0, up.stderr
    assert up.stdout.strip() == SIGNALING_URL

    again = lab("up", "--name", name)
    assert again.exit_code == 1
    assert f"python -m tests.lab down --name {name}" in again.stderr

    status = json.loads(lab("status", "--json", "--name", name).stdout)
    assert status["up"]
    assert status["signaling_url"] == SIGNALING_URL
    assert {each["name"] for each in status["services"]} == {"transceiver", "signaling", "relay"}
    processes = [each["pid"] for each in status["services"]]
    assert all(Path(f"/proc/{pid}").exists() for pid in processes)

    unknown = lab("exec", "--name", name, "server", "true")
    assert unknown.exit_code == 1
    assert "use client, relay, transceiver" in unknown.stderr

    for script, code in (("exit 7", 7), (f"ls /sys/fs/bpf > {tmp_path}/seen", 0)):
        child = os.fork()
        if child == 0:  # the command takes the place of this process
            lab("exec", "--name", name, "client", "sh", "-c", script)
            os._exit(99)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code
    assert (tmp_path / "seen").exists()

    down = lab("down", "--name", name)
    assert down.exit_code == 0
    assert "stopped the services" in down.stderr
    again = lab("down", "--name", name)
    assert again.exit_code == 0
    assert again.stderr == f"The lab '{name}' is not up: there is nothing to remove.\n"
    assert not any(Path(f"/proc/{pid}/exe").exists() for pid in processes)
    assert not any(host.exists() for host in unused_lab.hosts.values())
    assert not unused_lab.is_up
    capfd.readouterr()
