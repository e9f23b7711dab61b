"""Background processes that outlive the command that started them.

A process is remembered by its number and its start time: a number alone may belong to somebody
else by the time one wants to stop it.
"""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process of ours.

    Attributes:
        pid: Its number.
        started: When it started, in clock ticks since boot (field 22 of /proc/PID/stat).
    """

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "Process":
        """The process that has this number now, also one that ended and was not reaped.

        Raises:
            ProcessLookupError: There is none.
        """
        return cls(pid, _stat(pid)[1])

    @classmethod
    def load(cls, path: Path) -> "Process | None":
        """What `save` wrote, or None."""
        try:
            pid, started = path.read_text(encoding="ascii").split()
            return cls(int(pid), int(started))
        except (FileNotFoundError, ValueError):
            return None

    def save(self, path: Path) -> None:
        """Remember the process in a file."""
        path.write_text(f"{self.pid} {self.started}\n", encoding="ascii")

    def alive(self) -> bool:
        """Whether it still runs."""
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # a child of ours that ended stays until asked for
        try:
            state, started = _stat(self.pid)
        except ProcessLookupError:
            return False
        return started == self.started and state not in "ZX"  # zombie, dead

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a process that has ended is fine."""
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(self.pid)
            try:
                if self.alive():  # asked after opening: the handle stays with that process
                    signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; says whether it came in time."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if self.alive():
                select.select([handle], [], [], seconds)
        finally:
            os.close(handle)
        return not self.alive()

    def stop(self, seconds: float) -> bool:
        """End it politely, then by force; says whether it ended politely."""
        self.signal(signal.SIGTERM)
        if self.wait(seconds):
            return True
        self.signal(signal.SIGKILL)
        self.wait(seconds)
        return False


def with_environment(variable: str, value: str) -> Iterator[Process]:
    """Every process, of whatever parent, that was started with this in its environment."""
    wanted = f"{variable}={value}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended, or is none of ours
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    yield Process.of(int(entry.name))


def _stat(pid: int) -> tuple[str, int]:
    """State and start time, fields 3 and 22 of /proc/PID/stat."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(pid) from None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return fields[0], int(fields[19])
