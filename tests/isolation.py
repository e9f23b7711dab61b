"""A process of tests that runs beside others: with networks, mounts and labs of its own.

Nothing in there is seen by the others: not its interfaces and ports, nor the BPF file system, the
named network namespaces and the admin sockets.
"""

import os
import subprocess
from pathlib import Path

from relay import linux

_BPFFS = Path("/sys/fs/bpf")
_RESOLVER = Path("/etc/resolv.conf")
_OWN = (Path("/run/icelane"), Path("/run/netns"))
# A host that can reach others, as far as routes tell (RFC 2544's and RFC 4193's addresses).
_NETWORK = """
ip link set lo up
ip link add name up0 type veth peer name up1
ip link set up0 up
ip link set up1 up
ip address add 198.18.0.2/24 dev up0
ip route add default via 198.18.0.1 dev up0
ip -6 address add fd00::2/64 dev up0 nodad
ip -6 route add default via fd00::1 dev up0
"""


def isolate() -> None:
    """Move the calling thread, and what it starts, to namespaces of its own.

    Raises:
        OSError: This user may not, or the kernel cannot.
    """
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWNET)
    linux.mount("none", Path("/"), flags=linux.MS_REC | linux.MS_PRIVATE)
    while os.path.ismount(_BPFFS):
        linux.unmount(_BPFFS)
    for directory in _OWN:
        directory.mkdir(parents=True, exist_ok=True)
        linux.mount("none", directory, "tmpfs", data="mode=0755")
    # No name server can be reached from there, which is better known at once.
    if _RESOLVER.exists():
        linux.mount("/dev/null", _RESOLVER.resolve(), flags=linux.MS_BIND)
    subprocess.run(["sh", "-ec", _NETWORK], check=True)
