"""Services of a lab: background processes with a log, started and stopped by name."""

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

READY_SECONDS = 120.0  # normally two; imports alone take half a minute where all is emulated
STOP_SECONDS = 5.0
POLL_SECONDS = 0.02  # between two reads of the log
LAST_LINES = 12
LAB_VARIABLE = "ICELANE_LAB"  # environment variable that identifies the processes of a lab


@dataclass(frozen=True, slots=True)
class Service:
    """A service of a lab.

    Attributes:
        name: Its name, and that of its log and PID files.
        host: The host that it runs in.
        command: Its command line.
        ready: A regular expression that matches the line it prints once it is ready.
    """

    name: str
    host: str
    command: tuple[str, ...]
    ready: str


class Runner:
    """Starts and stops the services of a lab.

    Args:
        lab: The lab's name. The services and all their children have it in their environment,
            with the file system that the lab is on: elsewhere there may be another of that name.
        directory: The directory of their logs and PID files.
    """

    def __init__(self, lab: str, directory: Path) -> None:
        self._lab = lab
        self._directory = directory

    def log(self, name: str) -> Path:
        """The log of a service: its stdout and stderr."""
        return self._directory / f"{name}.log"

    def process(self, name: str) -> Process | None:
        """The process of a service; None when it does not run."""
        process = Process.load(self._pid_file(name))
        return process if process is not None and process.alive() else None

    def start(self, service: Service, host: Host) -> "StartingService":
        """Start a service, without waiting until it is ready."""
        log = self.log(service.name)
        with log.open("ab") as output:
            offset = output.tell()
            child = subprocess.Popen(
                host.command(service.command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=os.environ | {LAB_VARIABLE: self._mark()},
                start_new_session=True,
            )
        child.returncode = 0  # managed as a Process from here on, also by later commands
        process = Process.of(child.pid)
        process.save(self._pid_file(service.name))
        return StartingService(service, process, log, offset)

    def stop(self, name: str) -> bool:
        """Stop a service; False when it was not running."""
        process = self.process(name)
        if process is not None:
            process.stop(STOP_SECONDS)
        self._pid_file(name).unlink(missing_ok=True)
        return process is not None

    def stop_all(self) -> bool:
        """Stop every service, and processes that killed services left; False when none ran."""
        stopped = [self.stop(file.stem) for file in sorted(self._directory.glob("*.pid"))]
        orphans = list(with_environment(LAB_VARIABLE, self._mark()))
        for orphan in orphans:
            orphan.stop(STOP_SECONDS)
        return any(stopped) or bool(orphans)

    def lines(self, name: str) -> list[str]:
        """The log of a service, by line."""
        return _lines(self.log(name), 0)

    def _mark(self) -> str:
        run = self._directory.parent
        run.mkdir(parents=True, exist_ok=True)
        place = run.stat()
        return f"{self._lab}@{place.st_dev}:{place.st_ino}"

    def _pid_file(self, name: str) -> Path:
        return self._directory / f"{name}.pid"


@dataclass(frozen=True, slots=True)
class StartingService:
    """A service that may not be ready yet.

    Attributes:
        service: The service.
        process: Its process.
        log: Its log.
        offset: Size of the log in bytes before this start.
    """

    service: Service
    process: Process
    log: Path
    offset: int

    def wait(self) -> None:
        """Wait until it is ready.

        Raises:
            LabError: It ended, or is not ready in time; the text has its last lines of output.
        """
        name, ready = self.service.name, re.compile(self.service.ready)
        deadline = time.monotonic() + READY_SECONDS
        while True:
            alive = (
                self.process.alive()
            )  # checked first, so that the last lines are read after its end
            lines = _lines(self.log, self.offset)
            if any(ready.search(line) for line in lines):
                return
            if not alive:
                raise LabError(_with_output(f"{name} ended before it was ready", lines))
            if time.monotonic() > deadline:
                raise LabError(
                    _with_output(f"{name} is not ready after {READY_SECONDS:.0f} s", lines)
                )
            time.sleep(POLL_SECONDS)


def _lines(log: Path, offset: int) -> list[str]:
    with log.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace").splitlines()


def _with_output(problem: str, lines: Sequence[str]) -> str:
    if not lines:
        return f"{problem}, and printed nothing."
    return "\n".join(
        [f"{problem}. Its last lines:", *(f"  {line}" for line in lines[-LAST_LINES:])]
    )
