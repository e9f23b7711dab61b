"""A running machine, and what can be done with it over ssh."""

import os
import shlex
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vagrant import qemu
from vagrant.errors import MachineError
from vagrant.log import Log

USER = "vagrant"
LOGIN_SECONDS = 300.0  # from the start until ssh answers; in software emulation half a minute
POWER_OFF_SECONDS = 120.0
QUICK_SECONDS = 60.0  # for a command that does next to nothing
POLL_SECONDS = 1.0
LAST_LINES = 12


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in to a machine.

    Attributes:
        key: The private key.
        port: The port of 127.0.0.1 that leads to its ssh server.
        directory: For the socket of the connection that all commands share.
    """

    key: Path
    port: int
    directory: Path

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs a command in the machine, or a shell."""
        options = {
            # The machine is ours, is new, and listens on the loopback only.
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "ConnectTimeout": "20",
            "ServerAliveInterval": "15",
            "ControlMaster": "auto",
            "ControlPath": f"{self.directory}/%C",
            "ControlPersist": "60",
        }
        return [
            *("ssh", "-i", str(self.key), "-p", str(self.port)),
            *(part for name, value in options.items() for part in ("-o", f"{name}={value}")),
            f"{USER}@127.0.0.1",
            *arguments,
        ]


class Machine:
    """A machine; entering starts it, leaving ends it.

    Args:
        disk: What it starts from.
        accelerator: KVM or TCG.
        key: The private key of its user.
        log: Where the output of its commands goes.
        cards: Its network cards beside the one for management.
        share: A directory of this host that it may mount read-only.
    """

    def __init__(
        self,
        disk: qemu.Disk,
        accelerator: qemu.Accelerator,
        *,
        key: Path,
        log: Log,
        cards: Sequence[qemu.Card] = (),
        share: Path | None = None,
    ) -> None:
        self._disk, self._accelerator, self._key = disk, accelerator, key
        self._log, self._cards, self._share = log, cards, share
        self.console = log.path.with_suffix(".console")

    def __enter__(self) -> Self:
        """Start it, and wait until its user can log in.

        Raises:
            MachineError: It ended, or nobody can log in.
        """
        with ExitStack() as undo:
            directory = Path(undo.enter_context(tempfile.TemporaryDirectory()))
            self.login = Login(self._key, _free_port(), directory)
            self._errors = undo.enter_context(tempfile.TemporaryFile())
            self._process = subprocess.Popen(
                # It must not outlive this process, however that ends.
                ["setpriv", "--pdeathsig", "KILL", *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                pass_fds=[queue for card in self._cards for queue in card.queues],
            )
            undo.callback(self._end)
            self._wait_for_login()
            self._open = undo.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End it, should it still run, as if its power failed."""
        self._open.close()

    def output(self, script: str, *, seconds: float = QUICK_SECONDS) -> str:
        """Run a shell script in the machine, and return what it printed.

        Raises:
            MachineError: It failed, or did not end in time.
        """
        try:
            ran = subprocess.run(
                self.login.command(script),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            raise MachineError(f"Not done in the machine after {seconds:.0f} s: {script}") from None
        if ran.returncode != 0:
            last = "\n".join((ran.stdout + ran.stderr).splitlines()[-LAST_LINES:])
            raise MachineError(f"Failed in the machine: {script}\n{last}")
        return ran.stdout

    def run(self, script: str, *, seconds: float) -> None:
        """Run a shell script in the machine, with its output in the log.

        Raises:
            MachineError: It failed, or did not end in time.
        """
        self._log(f"$ {script}")
        process = subprocess.Popen(
            self.login.command(script),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        limit = threading.Timer(seconds, process.kill)
        limit.start()
        try:
            with process:
                for line in process.stdout or ():
                    self._log(f"  {line.rstrip()}")
        finally:
            limit.cancel()
        if process.returncode < 0:
            raise MachineError(f"Not done in the machine after {seconds:.0f} s: {script}")
        if process.returncode != 0:
            raise MachineError(f"Exit status {process.returncode} of: {script}")

    def write(self, path: str, text: str) -> None:
        """Write a file in the machine, as root."""
        self.feed(f"sudo tee {shlex.quote(path)} >/dev/null", text.encode())

    def feed(self, script: str, data: bytes, *, seconds: float = QUICK_SECONDS) -> None:
        """Run a shell script in the machine with `data` on its stdin.

        Raises:
            MachineError: It failed, or did not end in time.
        """
        try:
            subprocess.run(self.login.command(script), input=data, check=True, timeout=seconds)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise MachineError(f"Failed in the machine: {error}") from None

    def power_off(self) -> None:
        """Shut it down as an administrator does.

        Raises:
            MachineError: It still runs after two minutes.
        """
        with suppress(MachineError):  # the connection may end before the command does
            self.output("sudo systemctl --no-block poweroff", seconds=POWER_OFF_SECONDS)
        try:
            self._process.wait(POWER_OFF_SECONDS)
        except subprocess.TimeoutExpired:
            raise MachineError(
                f"The machine still runs {POWER_OFF_SECONDS:.0f} s after it was told to power off; "
                f"its console is in {self.console}."
            ) from None

    def _command(self) -> list[str]:
        return qemu.command(
            self._disk,
            self._accelerator,
            ssh_port=self.login.port,
            serial=self.console,
            cards=self._cards,
            share=self._share,
        )

    def _wait_for_login(self) -> None:
        deadline = time.monotonic() + LOGIN_SECONDS
        while True:
            if self._process.poll() is not None:
                said = os.pread(self._errors.fileno(), 4096, 0).decode(errors="replace").strip()
                raise MachineError(f"QEMU ended with status {self._process.returncode}: {said}")
            try:
                self.output("true", seconds=min(30.0, LOGIN_SECONDS))
            except MachineError as error:
                if time.monotonic() > deadline:
                    raise MachineError(
                        f"Nobody can log in to the machine after {LOGIN_SECONDS:.0f} s ({error}); "
                        f"its console is in {self.console}."
                    ) from None
                time.sleep(POLL_SECONDS)
            else:
                return

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def _free_port() -> int:
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        port: int = any_socket.getsockname()[1]
        return port
