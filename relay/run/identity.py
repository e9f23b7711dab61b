"""Who a relay is in the mirror, before and after a restart."""

import hashlib
import socket
from pathlib import Path

_MACHINE_ID = Path("/etc/machine-id")


def default_identity(instance: str) -> str:
    """The name of this host and of an instance, and eight hex digits of them and the machine.

    Containers of one image may share a machine id, and machines may share a name; both at once is
    for `--name`. It is a hash, as the machine id should not be shown (machine-id(5)).
    """
    try:
        machine = _MACHINE_ID.read_text("ascii").strip()
    except (OSError, ValueError):
        machine = ""
    host = socket.gethostname()
    digits = hashlib.sha256(f"icelane relay\0{machine}\0{host}\0{instance}".encode()).hexdigest()
    return f"{host}/{instance}/{digits[:8]}"
