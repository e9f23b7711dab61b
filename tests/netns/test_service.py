"""Services in the background of a lab."""

import json
import signal
from pathlib import Path

import pytest

from relay.netns.host import Host
from tests.lab import service as module
from tests.lab.errors import LabError
from tests.lab.process import Process
from tests.lab.service import Runner, Service
from tests.lab.topology import RELAY

pytestmark = pytest.mark.netns


def shell(script: str) -> Service:
    return Service("test", RELAY, ("sh", "-c", script), ready="ready$")


def test_a_service_is_started_in_its_host_and_stopped(
    network: dict[str, Host], tmp_path: Path
) -> None:
    runner = Runner("x", tmp_path)
    runner.start(shell("ip -json link; echo ready; exec sleep 600"), network[RELAY]).wait()
    process = runner.process("test")
    assert process is not None
    interfaces = {each["ifname"] for each in json.loads("".join(runner.lines("test")[:-1]))}
    assert interfaces == {"lo", "public", "internal"}

    later = Runner("x", tmp_path)  # as another command does
    later.stop("test")
    assert not process.alive()
    assert later.process("test") is None
    later.stop("test")


def test_a_service_that_ends_early_is_reported_with_its_last_lines(
    network: dict[str, Host], tmp_path: Path
) -> None:
    with pytest.raises(LabError, match=r"test ended before it was ready(.|\n)*no such key file"):
        Runner("x", tmp_path).start(
            shell("echo no such key file >&2; exit 1"), network[RELAY]
        ).wait()
    with pytest.raises(LabError, match="printed nothing"):
        Runner("x", tmp_path / "..").start(
            Service("quiet", RELAY, ("true",), ready="ready"), network[RELAY]
        ).wait()


def test_a_service_that_is_never_ready_is_reported(
    network: dict[str, Host], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READY_SECONDS", 0.1)
    runner = Runner("x", tmp_path)
    try:
        with pytest.raises(LabError, match="is not ready after"):
            runner.start(shell("echo not ready yet; exec sleep 600"), network[RELAY]).wait()
    finally:
        runner.stop("test")


def test_a_restarted_service_must_become_ready_again(
    network: dict[str, Host], tmp_path: Path
) -> None:
    runner = Runner("x", tmp_path)
    runner.start(shell("echo ready; exec sleep 600"), network[RELAY]).wait()
    runner.stop("test")
    with pytest.raises(LabError, match="ended before it was ready"):
        runner.start(shell("echo not this time"), network[RELAY]).wait()


def test_what_a_service_started_is_stopped_with_it(
    network: dict[str, Host], tmp_path: Path
) -> None:
    runner = Runner("with-a-child", tmp_path)
    script = "sleep 600 & echo $! > child; echo ready; wait"
    runner.start(shell(f"cd {tmp_path}; {script}"), network[RELAY]).wait()
    child = Process.of(int((tmp_path / "child").read_text()))
    service = runner.process("test")
    assert service is not None
    service.signal(signal.SIGKILL)
    assert child.alive()
    Runner("another", tmp_path / "..").stop_all()
    assert child.alive()
    runner.stop_all()
    assert not child.alive()
