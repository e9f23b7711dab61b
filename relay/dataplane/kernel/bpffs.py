"""The BPF file system, in which pins live."""

import ctypes
import os

from relay import linux
from relay.dataplane.kernel.pins import BPFFS
from relay.errors import DataplaneError

_MAGIC = 0xCAFE4A11  # linux/magic.h: BPF_FS_MAGIC
REMOUNT = f"mount -o remount,rw {BPFFS}"
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


def read_only() -> bool:
    """Whether it is mounted so that nothing can be pinned."""
    return mounted() and bool(os.statvfs(BPFFS).f_flag & os.ST_RDONLY)


def mount() -> str | None:
    """Mount it, unless it is mounted.

    Whether others see the mount cannot always be known: ``/proc/1`` may be unreadable even for
    root. What cannot be known stops nobody.

    Returns:
        What the administrator should know, in one line; None when there was nothing to do.

    Raises:
        DataplaneError: The kernel does not allow it, or it is mounted read-only.
    """
    if read_only():
        raise DataplaneError(
            f"The BPF file system is mounted read-only, and program and flows are pinned in it: "
            f"{REMOUNT} (in a container: without `:ro` behind its volume)."
        )
    if mounted():
        return None
    try:
        linux.mount("bpf", BPFFS, "bpf", data="mode=0700")
    except FileNotFoundError:  # of a container whose /sys is not the kernel's
        raise DataplaneError(
            f"There is no {BPFFS} to mount the BPF file system at: mount sysfs first (mount -t "
            "sysfs sysfs /sys), or give the container the host's (--volume /sys/fs/bpf:/sys/fs/bpf)"
        ) from None
    except OSError as error:
        raise DataplaneError(
            f"Cannot mount the BPF file system: {error.strerror}. "
            f"Run as root: mount -t bpf bpf {BPFFS}"
        ) from None
    if not _private():
        return f"The BPF file system was not mounted: mounted it at {BPFFS}."
    return (
        f"The BPF file system was not mounted: mounted it at {BPFFS}, in a mount namespace that "
        "only this process and its relatives have (as under `ip netns exec`). Flows and program "
        "end with the last of them; `nsenter --net=/run/netns/NAME` keeps the host's mounts."
    )


def _private() -> bool:
    """Whether the mount is certainly seen by this mount namespace only."""
    try:
        return not linux.in_mounts_of_init() and not _propagates(linux.mountinfo())
    except OSError:
        return False


def _propagates(mountinfo: str) -> bool:
    """Whether the newest mount at `BPFFS` is a copy in every namespace that shares its parent.

    Args:
        mountinfo: The text of proc(5)'s ``mountinfo``: in each line the mount point is the fifth
            field, and optional fields, ``shared:N`` among them, follow the sixth, up to a hyphen.
    """
    lines = [line.split() for line in mountinfo.splitlines()]
    found = [fields for fields in lines if fields[4] == str(BPFFS)]
    if not found:
        return False
    fields = found[-1]
    return any(each.startswith("shared:") for each in fields[6 : fields.index("-")])
