"""What a machine says of itself when it starts, works and ends, or does not."""

import time
from pathlib import Path

import pytest

from tests.vagrant.conftest import pretend_qemu
from vagrant import machine
from vagrant.errors import MachineError
from vagrant.log import Log
from vagrant.machine import Login, Machine


def test_a_login_is_to_the_loopback_with_no_key_but_ours() -> None:
    command = Login(Path("/vm/key"), 2222, Path("/run/x")).command("uname -r")
    assert command[:5] == ["ssh", "-i", "/vm/key", "-p", "2222"]
    assert command[-2:] == ["vagrant@127.0.0.1", "uname -r"]
    assert {"IdentitiesOnly=yes", "BatchMode=yes", "ControlPath=/run/x/%C"} <= set(command)


def test_a_command_gives_what_it_printed(here: Machine) -> None:
    assert here.output("echo one; echo two >&2") == "one\n"


def test_a_command_that_fails_is_told_with_its_last_words(here: Machine) -> None:
    with pytest.raises(MachineError) as told:
        here.output("seq 100; echo no space left >&2; exit 3")
    assert "seq 100" in str(told.value)
    assert str(told.value).endswith("no space left")
    assert "\n80\n" not in str(told.value)


def test_a_command_that_does_not_end_is_ended(here: Machine) -> None:
    started = time.monotonic()
    with pytest.raises(MachineError, match="Not done in the machine after 0 s: exec sleep 60"):
        here.output("exec sleep 60", seconds=0.2)
    with pytest.raises(MachineError, match="Not done in the machine after 0 s: exec sleep 61"):
        here.run("exec sleep 61", seconds=0.2)
    with pytest.raises(MachineError, match="timed out"):
        here.feed("exec sleep 62", b"", seconds=0.2)
    assert time.monotonic() - started < 30


def test_what_a_long_command_prints_is_in_the_log(here: Machine, log: Log) -> None:
    here.run("echo on stdout; echo on stderr >&2; printf '\\377\\n'", seconds=30)
    text = log.path.read_text("utf-8")
    assert "$ echo on stdout" in text
    assert "  on stdout\n" in text
    assert "  on stderr\n" in text
    with pytest.raises(MachineError, match="Exit status 2 of: exit 2"):
        here.run("exit 2", seconds=30)


def test_data_reach_a_command(here: Machine, tmp_path: Path) -> None:
    here.feed(f"cat >{tmp_path}/got", b"\x00\xff")
    assert (tmp_path / "got").read_bytes() == b"\x00\xff"
    with pytest.raises(MachineError, match="exit status 1"):
        here.feed("cat >/dev/null; false", b"x")


def test_qemu_that_ends_at_once_is_told_with_what_it_said(
    unstarted: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_qemu("echo 'no such device: vda' >&2; exit 4", tmp_path, monkeypatch)
    with pytest.raises(MachineError, match="QEMU ended with status 4: no such device: vda"):
        unstarted.__enter__()


def test_a_machine_that_nobody_can_log_in_to_is_ended_and_its_console_named(
    unstarted: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_qemu(f"echo $$ >{tmp_path}/pid; exec sleep 600", tmp_path, monkeypatch)
    monkeypatch.setattr(machine, "LOGIN_SECONDS", 0.5)
    with pytest.raises(MachineError) as told:
        unstarted.__enter__()
    assert "Nobody can log in" in str(told.value)
    assert str(unstarted.console) in str(told.value)
    pid = (tmp_path / "pid").read_text("utf-8").strip()
    assert not Path("/proc", pid).exists()


def test_a_machine_that_starts_is_powered_off_by_its_administrator(
    unstarted: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = tmp_path / "off"
    pretend_qemu(f"while [ ! -e {off} ]; do sleep 0.05; done", tmp_path, monkeypatch)
    answer = f'case "$1" in *poweroff) >{off};; esac'
    monkeypatch.setattr(Login, "command", lambda _, script: ["sh", "-c", answer, "sh", script])
    with unstarted as started:
        started.power_off()
    assert off.exists()


def test_a_machine_that_stays_on_is_ended_all_the_same(
    unstarted: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_qemu(f"echo $$ >{tmp_path}/pid; exec sleep 600", tmp_path, monkeypatch)
    monkeypatch.setattr(machine, "POWER_OFF_SECONDS", 0.5)
    monkeypatch.setattr(Login, "command", lambda *_: ["true"])
    with pytest.raises(MachineError, match="still runs"), unstarted as started:
        started.power_off()
    pid = (tmp_path / "pid").read_text("utf-8").strip()
    assert not Path("/proc", pid).exists()
