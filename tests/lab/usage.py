"""What a process has of the system."""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has of the system.

    Attributes:
        descriptors: Open files and sockets.
        threads: Threads.
        tasks: Tasks of its event loop; None where it does not tell.
        resident: KiB of its own memory (RssAnon), without that of files.
    """

    descriptors: int
    threads: int
    tasks: int | None
    resident: int

    @classmethod
    def of(cls, pid: int, tasks: int | None = None) -> "Usage":
        """Read it from /proc."""
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
        return cls(
            len(list(Path(f"/proc/{pid}/fd").iterdir())),
            _number(status, "Threads"),
            tasks,
            _number(status, "RssAnon"),
        )

    def least(self, other: "Usage") -> "Usage":
        """The least of both: for a moment there may be a connection more."""
        tasks = None if self.tasks is None or other.tasks is None else min(self.tasks, other.tasks)
        return Usage(
            min(self.descriptors, other.descriptors),
            min(self.threads, other.threads),
            tasks,
            min(self.resident, other.resident),
        )

    def left_behind(self, before: "Usage", memory: float) -> list[str]:
        """What is there that was not before, in words; `memory` is the share that may be more."""
        left = [
            f"{now - then} {what}"
            for what, now, then in (
                ("descriptors", self.descriptors, before.descriptors),
                ("threads", self.threads, before.threads),
                ("tasks", self.tasks or 0, before.tasks or 0),
            )
            if now > then
        ]
        if self.resident > before.resident * (1 + memory):
            left.append(f"{self.resident - before.resident} KiB")
        return left


def _number(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) if found else 0
