"""Files that hold secrets: nobody but their owner reads them, and they are written as a whole.

What root keeps for a service, its group may read: so Kubernetes mounts a Secret for a container
that is not root's (PostgreSQL takes such key files for the same reason).
"""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relay.errors import ConfigError
from relay.files import unreadable


def require_private(
    path: Path, what: str, *, error: type[ConfigError] = ConfigError, missing: str = ""
) -> None:
    """Make sure that only its owner can read a file, or root and this service's group.

    Args:
        path: The file.
        what: What it is, for the texts of errors.
        error: What is raised.
        missing: What to do when there is none.

    Raises:
        ConfigError: Others can, or it cannot be looked at; it is of the type `error`.
    """
    try:
        found = path.stat()
    except OSError as cause:
        raise error(f"cannot read {what} {path}: {unreadable(cause, missing=missing)}") from None
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid == 0 != os.geteuid() and found.st_gid in {os.getegid(), *os.getgroups()}:
        mode &= ~stat.S_IRGRP
    if (sentence := shared(path, what, mode)) is not None:
        raise error(sentence)


def shared(path: Path, what: str, mode: int) -> str | None:
    """What to say of a file that others than its owner can use; None where none can.

    Args:
        path: The file.
        what: What it is.
        mode: Its mode, as stat(2) tells it.
    """
    if mode & 0o077:
        return f"others can read {what} {path} (mode {mode & 0o777:04o}): chmod 600 {path}"
    return None


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read; it is there as a whole, or as it was.

    One that is replaced keeps its owner: root changes a service's file, too.

    Raises:
        OSError: It cannot be written.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            _give(descriptor, _owner(path))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise


def _owner(path: Path) -> tuple[int, int] | None:
    """The user and the group of a file, if there is one."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_uid, found.st_gid


def _give(descriptor: int, owner: tuple[int, int] | None) -> None:
    if owner is not None and os.geteuid() == 0:
        os.fchown(descriptor, *owner)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory: files in it are replaced, so that a lock on one would be of the old one."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
