"""A service in a lab: what to run, where, and how one sees that it serves."""

import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from relay.netns.host import Host
from tests.lab.errors import LabError
from tests.lab.process import Process, with_environment

READY_SECONDS = 30.0  # compiling the BPF program takes 2 s, on a busy machine several times that
STOP_SECONDS = 5.0
LOOK_EVERY = 0.02  # seconds between two looks at the log
LAST_LINES = 12
MARK = "ICELANE_LAB"  # the environment variable that tells a lab's processes from all others


@dataclass(frozen=True, slots=True)
class Service:
    """What runs in the background of a lab.

    Attributes:
        name: Names its log and its process file.
        host: Where it runs.
        command: Its command line.
        ready: A regular expression for the line that it prints when it serves.
    """

    name: str
    host: str
    command: tuple[str, ...]
    ready: str


class Runner:
    """Starts and stops the services of a lab.

    Args:
        lab: The lab's name; the services and all their children carry it in their environment.
        directory: Where their logs and process files are.
    """

    def __init__(self, lab: str, directory: Path) -> None:
        self._lab = lab
        self._directory = directory

    def log(self, name: str) -> Path:
        """The file that holds what a service prints."""
        return self._directory / f"{name}.log"

    def process(self, name: str) -> Process | None:
        """A service's process, if it runs."""
        process = Process.load(self._pid_file(name))
        return process if process is not None and process.alive() else None

    def start(self, service: Service, host: Host) -> "Starting":
        """Start a service, without waiting until it serves."""
        log = self.log(service.name)
        with log.open("ab") as output:
            offset = output.tell()
            child = subprocess.Popen(
                host.command(service.command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=os.environ | {MARK: self._lab},
                start_new_session=True,
            )
        child.returncode = 0  # Process looks after it from here on, also in later commands
        process = Process.of(child.pid)
        process.save(self._pid_file(service.name))
        return Starting(service, process, log, offset)

    def stop(self, name: str) -> None:
        """Stop a service; one that does not run is fine."""
        process = Process.load(self._pid_file(name))
        if process is not None:
            process.stop(STOP_SECONDS)
            self._pid_file(name).unlink()

    def stop_all(self) -> None:
        """Stop every service, and what services that were killed have left running."""
        for file in sorted(self._directory.glob("*.pid")):
            self.stop(file.stem)
        for orphan in with_environment(MARK, self._lab):
            orphan.stop(STOP_SECONDS)

    def _pid_file(self, name: str) -> Path:
        return self._directory / f"{name}.pid"

    def lines(self, name: str) -> list[str]:
        """What a service has printed so far, by line."""
        return _lines(self.log(name), 0)


@dataclass(frozen=True, slots=True)
class Starting:
    """A service that may not serve yet.

    Attributes:
        service: The service.
        process: Its process.
        log: Where it prints to.
        offset: Where in it this start begins, in bytes.
    """

    service: Service
    process: Process
    log: Path
    offset: int

    def wait(self) -> None:
        """Wait until it serves.

        Raises:
            LabError: It ended, or does not serve in time; the text holds its last lines.
        """
        name, ready = self.service.name, re.compile(self.service.ready)
        deadline = time.monotonic() + READY_SECONDS
        while True:
            alive = self.process.alive()  # asked first: the last words of one that ends count
            lines = _lines(self.log, self.offset)
            if any(ready.search(line) for line in lines):
                return
            if not alive:
                raise LabError(_told(f"{name} ended before it served", lines))
            if time.monotonic() > deadline:
                raise LabError(_told(f"{name} does not serve after {READY_SECONDS:.0f} s", lines))
            time.sleep(LOOK_EVERY)


def _lines(log: Path, offset: int) -> list[str]:
    with log.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace").splitlines()


def _told(what: str, lines: Sequence[str]) -> str:
    if not lines:
        return f"{what}, and printed nothing."
    return "\n".join([f"{what}. Its last lines:", *(f"  {line}" for line in lines[-LAST_LINES:])])
