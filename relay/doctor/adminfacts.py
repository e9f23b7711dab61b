"""Looks whether an agent could listen at its admin socket: nothing is made for that."""

import errno
import os
import stat
from pathlib import Path

from relay.admin.place import DIRECTORY, default_path, unusable
from relay.config.privatefiles import Reader, refused
from relay.doctor.finding import Finding, Verdict

_LONGEST = 107  # bytes of a path, unix(7)
_TO_WRITE = stat.S_IWOTH | stat.S_IXOTH


def admin(path: Path, user: Reader | None, *, running: bool) -> Finding:
    """Whether an agent can have its admin socket.

    Args:
        path: Where.
        user: Whom the relay becomes; None where it stays who it is.
        running: Whether the relay itself runs, and has it.
    """
    if running:
        return Finding.ok("admin", f"the relay that runs answers at {path}")
    error = _refused(path, user)
    if error is None:
        return Finding.ok("admin", f"an agent can listen at {path}")
    return Finding.told("admin", Verdict.FAIL, unusable(path, error))


def _refused(path: Path, user: Reader | None) -> OSError | None:  # noqa: PLR0911  # a list
    directory = path.parent
    made = directory == default_path("").parent or user is not None  # by the relay
    while made and not directory.exists():
        directory = directory.parent
    if len(os.fsencode(path)) > _LONGEST:
        return _error(errno.ENAMETOOLONG)
    if not directory.is_dir():
        return _error(errno.ENOENT)
    room = os.statvfs(directory)
    if room.f_flag & os.ST_RDONLY:
        return _error(errno.EROFS)
    if not room.f_bfree or (room.f_files and not room.f_ffree):
        return _error(errno.ENOSPC)
    if not os.access(directory, os.W_OK | os.X_OK):
        return _error(errno.EACCES)
    if user is None or directory != path.parent or directory == DIRECTORY:  # made for the user
        return None
    return refused(directory, user, use=_TO_WRITE)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
