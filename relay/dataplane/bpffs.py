"""The BPF file system, in which pins live."""

import ctypes
import os
from pathlib import Path

from relay.dataplane.base import DataplaneError
from relay.dataplane.pins import BPFFS

_MAGIC = 0xCAFE4A11  # linux/magic.h: BPF_FS_MAGIC
_libc = ctypes.CDLL(None, use_errno=True)


class _StatFs(ctypes.Structure):
    """The head of struct statfs."""

    _fields_ = (("type", ctypes.c_long), ("rest", ctypes.c_long * 31))


def mounted() -> bool:
    """Whether the BPF file system is at its place in the calling process's mounts."""
    found = _StatFs()
    if _libc.statfs(bytes(BPFFS), ctypes.byref(found)) != 0:
        return False
    return int(found.type) & 0xFFFF_FFFF == _MAGIC


def mount() -> None:
    """Mount it, unless it is mounted.

    Raises:
        DataplaneError: That is not allowed, or would be seen by this process only.
    """
    if mounted():
        return
    if not _mounts_of_the_system():
        # A file system of this command's own would take all pins with it when the command ends.
        raise DataplaneError(
            f"The BPF file system is not at {BPFFS} here: this process has mounts of its own, as "
            "under `ip netns exec`. Enter the network namespace alone, with "
            "`nsenter --net=/run/netns/NAME`."
        )
    if _libc.mount(b"bpf", bytes(BPFFS), b"bpf", 0, b"mode=0700") != 0:
        raise DataplaneError(
            f"Cannot mount the BPF file system: {os.strerror(ctypes.get_errno())}. "
            f"Run as root: mount -t bpf bpf {BPFFS}"
        )


def _mounts_of_the_system() -> bool:
    try:
        return Path("/proc/1/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()
    except OSError:
        return False
