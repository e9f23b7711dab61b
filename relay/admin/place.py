"""Where an agent's admin socket is, and whether one answers there.

What else is said on it is in `relay.admin.transport`, which takes longer to import.
"""

import os
import socket
from pathlib import Path

from relay.errors import AdminError


def default_path(instance: str) -> Path:
    """Where the agent of an instance listens: a directory that only its user can write to."""
    if os.geteuid() == 0:
        return Path("/run/icelane") / f"{instance}.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/icelane-{os.geteuid()}"  # noqa: S108  # made with mode 0700, and refused below when somebody else owns it
    return Path(runtime) / f"icelane-{instance}.sock"


def require_nobody(path: Path) -> None:
    """Make sure that no agent of this instance runs.

    Raises:
        AdminError: One answers at this path.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            return
    raise AdminError(
        f"another agent runs as this instance (it answers at {path}): "
        "stop it, or choose another --instance"
    )
