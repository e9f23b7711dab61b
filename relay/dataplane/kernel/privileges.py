"""What the kernel demands of a process that loads programs, and which of it this process lacks."""

import os

from relay import linux
from relay.errors import DataplaneError

# SYS_ADMIN includes BPF, PERFMON and, for bpf(2), NET_ADMIN, and alone reads types (BTF) by their
# number.
BUILDING = ("CAP_SYS_ADMIN",)
# NET_RAW is for the socket that sends from all upstream ports.
LOADING = ("CAP_SYS_ADMIN", "CAP_NET_RAW")


def require(*capabilities: str) -> None:
    """Make sure that this process may use the XDP dataplane.

    Args:
        capabilities: What it needs for that, beside being root.

    Raises:
        DataplaneError: It may not; the text says what it lacks.
    """
    if os.geteuid() != 0:
        raise DataplaneError("The XDP dataplane needs root: run it as root, such as with sudo.")
    if not linux.in_first_user_namespace():
        raise DataplaneError(
            "The XDP dataplane needs the host's root, and this process is root of a user "
            "namespace only (a rootless container): run it as root of the host, or with "
            "--dataplane userspace."
        )
    if missing := linux.lacking(*capabilities):
        raise DataplaneError(
            f"The XDP dataplane needs {' and '.join(missing)}, which this process lacks though it "
            "is root: give it to the container (--cap-add) or service "
            "(CapabilityBoundingSet), or run with --dataplane userspace."
        )
