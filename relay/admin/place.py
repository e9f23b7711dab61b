"""Where an agent's admin socket is, and whether one answers there.

What else is said on it is in `relay.admin.transport`, which takes longer to import.
"""

import errno
import os
import socket
from pathlib import Path

from relay.errors import AdminError

#: Where root's agents listen.
DIRECTORY = Path("/run/icelane")


def default_path(instance: str) -> Path:
    """Where the agent of an instance listens: a directory that only its user can write to."""
    if os.geteuid() == 0:
        return DIRECTORY / f"{instance}.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/icelane-{os.geteuid()}"  # noqa: S108  # made with mode 0700, and refused below when somebody else owns it
    return Path(runtime) / f"icelane-{instance}.sock"


def running() -> list[str]:
    """The instances of this user whose agents run here."""
    own = default_path("*")
    before, after = own.name.split("*")
    names = (path.name[len(before) : -len(after)] for path in own.parent.glob(own.name))
    return sorted(name for name in names if is_somebody(default_path(name)))


_TIMEOUT = 1.0  # seconds; an agent that hangs has a queue of others before us


def is_somebody(path: Path) -> bool:
    """Whether an agent listens there, though it may not answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_TIMEOUT)
        try:
            connection.connect(str(path))
        except (TimeoutError, BlockingIOError):  # it is there, and accepts nobody
            return True
        except OSError:
            return False
    return True


def unusable(path: Path, error: OSError) -> str:
    """Why an agent cannot listen at a path, and what to do."""
    directory = path.parent
    match error.errno:
        case errno.EACCES | errno.EPERM:
            remedy = f"let this user write to {directory} (chown), or choose another with --admin"
        case errno.EROFS:
            remedy = f"mount -o remount,rw what {directory} is on, or choose another with --admin"
        case errno.ENOSPC | errno.EDQUOT:
            remedy = f"free some room (df {directory}; df -i), or choose another with --admin"
        case errno.ENOENT:
            remedy = f"make {directory} first, or choose another with --admin"
        case errno.ENAMETOOLONG:
            remedy = "choose a path of 107 bytes or less with --admin"
        case _:
            remedy = "choose another with --admin"
    return f"cannot listen on {path}: {error.strerror or error}; {remedy}"


def require_nobody(path: Path) -> None:
    """Make sure that no agent of this instance runs.

    Raises:
        AdminError: One answers at this path.
    """
    if is_somebody(path):
        raise AdminError(
            f"another agent runs as this instance (it answers at {path}): "
            "stop it, or choose another --instance"
        )
