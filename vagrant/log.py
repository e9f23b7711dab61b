"""The log of a run: each line with the seconds since the start, on the terminal and in a file."""

import sys
import time
from pathlib import Path


class Log:
    """A log with times.

    Args:
        path: The file that gets a copy; a previous one is replaced.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        self._started = time.monotonic()
        self.path = path

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def __call__(self, text: str) -> None:
        """Write a line, or several."""
        for line in text.splitlines():
            stamped = f"[{self.seconds:7.1f}] {line}"
            for file in (sys.stdout, self._file):
                file.write(f"{stamped}\n")
                file.flush()
