"""A program on a terminal of its own (a pseudo-terminal), whose screen can be read."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.relay.cli.commands import ICELANE, LIMIT

_HOME, _END = "\x1b[H", "\x1b[J"
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
ON, OFF = "\x1b[?1049h", "\x1b[?1049l"  # the other screen


class Terminal:
    """`icelane` on a terminal. Use it as a context manager.

    Args:
        arguments: Of the command.
        columns: How wide the terminal is.
        lines: How high.
        locale: That of the program.
        ascii_only: Whether it shows nothing but ASCII.
    """

    def __init__(
        self,
        *arguments: str | Path,
        columns: int = 80,
        lines: int = 24,
        locale: str = "C.UTF-8",
        ascii_only: bool = False,
    ) -> None:
        self.sent = ""  # by the program, all of it
        self.code: int | None = None
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ |= {"TERM": "xterm-256color", "LC_ALL": locale}
            for name in ("COLUMNS", "LINES", "NO_COLOR", "PYTHONIOENCODING", "PYTHONUTF8"):
                os.environ.pop(name, None)
            command = [sys.executable, str(ICELANE), *map(str, arguments)]
            if ascii_only:  # Python takes UTF-8 for C otherwise (PEP 538, PEP 540)
                os.environ["PYTHONIOENCODING"] = "ascii"
            os.read(0, 1)  # the size comes first
            os.execv(sys.executable, command)  # noqa: S606
        self.resize(columns, lines)
        self.modes: list[object] = termios.tcgetattr(self._fd)
        os.write(self._fd, b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size, of which the program is told by SIGWINCH."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def modes_now(self) -> list[object]:
        """The terminal's modes, which are `modes` again after the program."""
        return list(termios.tcgetattr(self._fd))

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._fd, keys.encode())

    def kill(self, number: signal.Signals) -> None:
        """Send the program a signal."""
        os.kill(self.pid, number)

    @property
    def screen(self) -> list[str]:
        """The lines of the last picture that came whole, as they stand there."""
        frame = self.frame
        return [_CONTROL.sub("", line) for line in frame.split("\n")] if frame else []

    @property
    def frame(self) -> str:
        """The same with its colours, as text with control sequences."""
        frames = self.sent.split(_HOME)
        whole = [frame for frame in frames[1:] if _END in frame]
        if not whole:
            return ""
        return whole[-1].partition(_END)[0].replace("\x1b[K", "").replace("\r\n", "\n")

    def until(self, done: Callable[[list[str]], bool], what: str) -> list[str]:
        """Wait for a screen, and give it."""
        deadline = time.monotonic() + LIMIT
        while not done(self.screen):
            assert time.monotonic() < deadline, f"{what} never came; the screen is {self.screen}"
            assert self._read(deadline), f"it has ended before {what}: {self.sent[-2000:]}"
        return self.screen

    def shows(self, text: str) -> list[str]:
        """Wait until a text is somewhere on the screen."""
        return self.until(lambda screen: any(text in line for line in screen), text)

    def watch(self, seconds: float) -> None:
        """Read what comes for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._read(end):
            pass

    def hides(self, text: str) -> list[str]:
        """Wait until a text is nowhere on the screen."""
        return self.until(
            lambda screen: bool(screen) and all(text not in line for line in screen), f"no {text}"
        )

    def end(self) -> int:
        """Wait until the program has ended; its exit code, negative for a signal."""
        deadline = time.monotonic() + LIMIT
        while self._read(deadline):
            assert time.monotonic() < deadline, "it does not end"
        _, status = os.waitpid(self.pid, 0)
        self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def _read(self, deadline: float) -> bool:
        """Read what has come, after a wait; False when no more comes."""
        readable, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            return True
        try:
            piece = os.read(self._fd, 65_536)
        except OSError:  # its other end is closed
            return False
        self.sent += piece.decode(errors="replace")
        return bool(piece)
