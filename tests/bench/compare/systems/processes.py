"""The processes of a contestant."""

from pathlib import Path


def family(pid: int) -> tuple[int, ...]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return (pid, *map(int, children.split()))
