"""A command that runs in the background while other things are done, and is gone afterwards."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from types import TracebackType
from typing import IO, Self

STOP_SECONDS = 10.0


class Background:
    """A process; entering starts it, leaving ends it.

    Args:
        command: The command with its arguments.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command

    def __enter__(self) -> Self:
        """Start it."""
        # In files, so that a talkative process never waits for somebody to read.
        self._output, self._errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._errors
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it, should it still run: politely, then by force."""
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
        """Its number."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def interrupt(self) -> None:
        """Interrupt it, as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; says whether it came in time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def output(self) -> str:
        """What it has printed so far."""
        return _read(self._output)

    def last_words(self) -> str:
        """The last line of its errors."""
        return (_read(self._errors).strip() or "it printed nothing").splitlines()[-1]


def _read(file: IO[bytes]) -> str:
    """The content of a file that a process writes to, whose place in it must not be moved."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")
