"""A machine that is none: what its user types runs in a shell of this host."""

from pathlib import Path

import pytest

from vagrant import machine, qemu
from vagrant.log import Log
from vagrant.machine import Login, Machine

DISK = qemu.Disk(Path("/vm/vmlinuz"), Path("/vm/initrd.img"), Path("/vm/run.qcow2"))


class ShellLogin(Login):
    """A login to this host: the same commands, without ssh."""

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs a shell script here."""
        return ["sh", "-c", *arguments]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "vm.log")


@pytest.fixture
def unstarted(log: Log, tmp_path: Path) -> Machine:
    """A machine that nobody has started."""
    return Machine(DISK, qemu.Accelerator.TCG, key=tmp_path / "key", log=log)


@pytest.fixture
def here(unstarted: Machine, tmp_path: Path) -> Machine:
    """A machine whose commands run on this host."""
    unstarted.login = ShellLogin(tmp_path / "key", 0, tmp_path)
    return unstarted


def pretend_qemu(script: str, directory: Path, patch: pytest.MonkeyPatch) -> None:
    """Let a shell script take QEMU's place, which ends, hangs or says what is wanted."""
    fake = directory / "qemu"
    fake.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    fake.chmod(0o755)
    patch.setattr(qemu, "QEMU", str(fake))
    patch.setattr(machine, "POLL_SECONDS", 0.05)
