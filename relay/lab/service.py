"""A service in a lab: what to run, where, and how one sees that it serves."""

import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from relay.lab.errors import LabError
from relay.lab.host import Host
from relay.lab.process import Process

READY_SECONDS = 30.0  # compiling the BPF program takes 2 s, on a busy machine several times that
STOP_SECONDS = 5.0
LOOK_EVERY = 0.02  # seconds between two looks at the log
LAST_LINES = 12


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
    """Starts and stops services; keeps their logs and process files in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def log(self, name: str) -> Path:
        """The file that holds what a service prints."""
        return self._directory / f"{name}.log"

    def process(self, name: str) -> Process | None:
        """A service's process, if it runs."""
        process = Process.load(self._pid_file(name))
        return process if process is not None and process.alive() else None

    def start(self, service: Service, host: Host) -> None:
        """Start a service and wait until it serves.

        Raises:
            LabError: It ended, or does not serve in time; the text holds its last lines.
        """
        log = self.log(service.name)
        with log.open("ab") as output:
            offset = output.tell()
            child = subprocess.Popen(
                host.command(service.command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
            )
        child.returncode = 0  # Process looks after it from here on, also in later commands
        process = Process.of(child.pid)
        process.save(self._pid_file(service.name))
        self._wait_until_ready(service, process, offset)

    def stop(self, name: str) -> None:
        """Stop a service; one that does not run is fine."""
        process = Process.load(self._pid_file(name))
        if process is not None:
            process.stop(STOP_SECONDS)
            self._pid_file(name).unlink()

    def _pid_file(self, name: str) -> Path:
        return self._directory / f"{name}.pid"

    def _wait_until_ready(self, service: Service, process: Process, offset: int) -> None:
        ready = re.compile(service.ready)
        deadline = time.monotonic() + READY_SECONDS
        while True:
            alive = process.alive()  # asked first: the last words of a process that ends count
            lines = self.lines(service.name, offset)
            if any(ready.search(line) for line in lines):
                return
            if not alive:
                raise LabError(_told(f"{service.name} ended before it served", lines))
            if time.monotonic() > deadline:
                raise LabError(
                    _told(f"{service.name} does not serve after {READY_SECONDS:.0f} s", lines)
                )
            time.sleep(LOOK_EVERY)

    def lines(self, name: str, offset: int = 0) -> list[str]:
        """What a service has printed since `offset` bytes, by line."""
        with self.log(name).open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace").splitlines()


def _told(what: str, lines: Sequence[str]) -> str:
    if not lines:
        return f"{what}, and printed nothing."
    return "\n".join([f"{what}. Its last lines:", *(f"  {line}" for line in lines[-LAST_LINES:])])
