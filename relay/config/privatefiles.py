"""Files that hold secrets: nobody but their owner reads them, and they are written as a whole.

What root keeps for a service, its group may read: so Kubernetes mounts a Secret for a container
that is not root's (PostgreSQL takes such key files for the same reason). That holds for the service
and for root, who rotates keys in it.
"""

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from relay.errors import ConfigError
from relay.files import unreadable


class Reader(NamedTuple):
    """Who reads a file.

    Attributes:
        uid: The user.
        groups: All groups of it.
    """

    uid: int
    groups: Collection[int]

    @classmethod
    def this_process(cls) -> Self:
        """Whoever this process is."""
        return cls(os.geteuid(), {os.getegid(), *os.getgroups()})


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
    if stat.S_ISDIR(found.st_mode):
        folder = IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        raise error(f"cannot read {what} {path}: {unreadable(folder)}")
    if (sentence := shared(path, what, found, Reader.this_process())) is not None:
        raise error(sentence)


def shared(path: Path, what: str, found: os.stat_result, reader: Reader) -> str | None:
    """What to say of a file that others than its owner can use; None where none can.

    Args:
        path: The file.
        what: What it is.
        found: What stat(2) tells of it.
        reader: Who is to read it.
    """
    others = 0o077
    own_group = found.st_gid != 0 if reader.uid == 0 else found.st_gid in reader.groups
    if found.st_uid == 0 and own_group:
        others &= ~stat.S_IRGRP
    if found.st_mode & others:
        mode = stat.S_IMODE(found.st_mode)
        return f"others can read {what} {path} (mode {mode:04o}): chmod 600 {path}"
    return None


def refused(path: Path, reader: Reader, *, use: int = stat.S_IROTH) -> OSError | None:
    """Why somebody could not use a file, by the modes of it and of the directories above it.

    Access control lists are not looked at.

    Args:
        path: The file, or a directory.
        reader: Who it is.
        use: What for, as it is called in the mode for others: to read it.
    """
    whole = path.absolute()
    wanted = [(whole, use), *((above, stat.S_IXOTH) for above in whole.parents)]
    for each, bits in wanted if reader.uid != 0 else ():
        try:
            found = each.stat()
        except OSError as error:
            return error
        needed = bits << _shift(found, reader)
        if found.st_mode & needed != needed:
            return PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return None


def _shift(found: os.stat_result, reader: Reader) -> int:
    """How far left of the bits for others those are that hold for somebody."""
    if found.st_uid == reader.uid:
        return 6
    return 3 if found.st_gid in reader.groups else 0


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
