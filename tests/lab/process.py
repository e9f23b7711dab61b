"""Background processes: those that outlive the command that started them, and those that do not.

A process is identified by its PID and its start time: by the time one wants to stop it, the kernel
may have given the PID to somebody else.
"""

import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple, Self

STOP_SECONDS = 10.0  # after SIGTERM, before SIGKILL


class Process(NamedTuple):
    """A process that may have been started by an earlier command.

    Attributes:
        pid: Its PID.
        started: When it started, in clock ticks since boot (field 22 of /proc/PID/stat).
    """

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "Process":
        """The process that has this PID now, also a zombie.

        Raises:
            ProcessLookupError: There is none.
        """
        return cls(pid, _stat(pid)[1])

    @classmethod
    def load(cls, path: Path) -> "Process | None":
        """Read what `save` wrote; None when the file is missing or damaged."""
        try:
            pid, started = path.read_text(encoding="ascii").split()
            return cls(int(pid), int(started))
        except (FileNotFoundError, ValueError):
            return None

    def save(self, path: Path) -> None:
        """Write the process to a PID file."""
        path.write_text(f"{self.pid} {self.started}\n", encoding="ascii")

    def alive(self) -> bool:
        """Whether it is still running."""
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # reap it, if it is a child of this process
        try:
            state, started = _stat(self.pid)
        except ProcessLookupError:
            return False
        return started == self.started and state not in "ZX"  # zombie, dead

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a process that has ended is fine."""
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(self.pid)
            try:
                if self.alive():  # checked after opening: the pidfd stays with that process
                    signal.pidfd_send_signal(pidfd, number)
            finally:
                os.close(pidfd)

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended; False when it has not after `seconds`."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if self.alive():
                ended = select.poll()  # for descriptors above 1,023, too
                ended.register(pidfd, select.POLLIN)
                ended.poll(1000 * seconds)
        finally:
            os.close(pidfd)
        return not self.alive()

    def open_files(self) -> int:
        """How many descriptors it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def status_lines(self) -> list[str]:
        """The lines of /proc/PID/status."""
        return Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()

    def stop(self, seconds: float) -> bool:
        """End it with SIGTERM, after `seconds` with SIGKILL; False when that was needed."""
        self.signal(signal.SIGTERM)
        if self.wait(seconds):
            return True
        self.signal(signal.SIGKILL)
        self.wait(seconds)
        return False


class BackgroundProcess:
    """A child process that runs while entered; leaving ends it.

    Args:
        command: The command with its arguments.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command

    def __enter__(self) -> Self:
        """Start it."""
        # Output goes to files: with a pipe, the process would block when nobody reads.
        self._output, self._errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._errors
        )
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End it if it still runs: with SIGTERM, then with SIGKILL."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()
        self._errors.close()

    @property
    def pid(self) -> int:
        """Its PID."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def interrupt(self) -> None:
        """Send SIGINT, as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended; False when it has not after `seconds`."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def output(self) -> str:
        """What it has written to stdout so far."""
        return _read(self._output)

    def last_error_line(self) -> str:
        """The last line that it wrote to stderr."""
        return (_read(self._errors).strip() or "it printed nothing").splitlines()[-1]


def _read(file: IO[bytes]) -> str:
    """The whole content; the file offset is shared with the process, and is left alone."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


def with_environment(variable: str, value: str) -> Iterator[Process]:
    """Every process, of any parent, that was started with this variable in its environment."""
    wanted = f"{variable}={value}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended, or belongs to another user
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    yield Process.of(int(entry.name))


def children(parent: Process) -> list[Process]:
    """The processes that a process has started, in the order of their PIDs."""
    path = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    return [Process.of(int(pid)) for pid in path.read_text(encoding="ascii").split()]


def _stat(pid: int) -> tuple[str, int]:
    """State and start time, fields 3 and 22 of /proc/PID/stat."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(pid) from None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return fields[0], int(fields[19])
