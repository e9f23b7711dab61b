"""The terminal of a live viewer: its modes, its size, what it is sent and what it shows.

It is put back as it was however the viewer ends, but by SIGKILL.
"""

import os
import sys
import termios
import tty
from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.text import Text

_ENTER = "\x1b[?1049h\x1b[?25l"  # the other screen (xterm), and no cursor
_LEAVE = "\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_READ = 4096


class Terminal:
    """A terminal that a viewer has for itself, while the context is entered.

    Args:
        console: Where it is drawn.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self.keys: int | None = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else None
        self._modes: list[object] | None = None

    def __enter__(self) -> Self:
        self.resume()
        return self

    def __exit__(self, *_: object) -> None:
        self.suspend()

    def resume(self) -> None:
        """Take it: keys come one by one, unseen."""
        if self.keys is not None:
            self._modes = termios.tcgetattr(self.keys)
            tty.setcbreak(self.keys, termios.TCSADRAIN)
        self._write(_ENTER)

    def suspend(self) -> None:
        """Put it back as it was; again is fine."""
        if self.keys is not None and self._modes is not None:
            termios.tcsetattr(self.keys, termios.TCSADRAIN, self._modes)  # type: ignore[arg-type]  # as it was given
            self._modes = None
        self._write(_LEAVE)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, now."""
        try:
            size = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return self._console.size
        return (size.columns or 80, size.lines or 24)

    def read(self) -> str:
        """What was typed; empty where the terminal has gone."""
        if self.keys is None:
            return ""
        try:
            return os.read(self.keys, _READ).decode(errors="replace")
        except OSError:
            return ""

    def draw(self, lines: Sequence[Text]) -> None:
        """Show these lines, and nothing else."""
        with self._console.capture() as drawn:
            for line in lines:
                self._console.print(line, end="\n", soft_wrap=True, highlight=False)
        text = drawn.get().rstrip("\n").replace("\n", f"{_END_OF_LINE}\n")
        self._write(f"{_HOME}{text}{_END_OF_LINE}{_BELOW}")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
