"""Kernel headers for BCC, also where those of the running kernel are not installed.

BCC looks for headers in /lib/modules/RELEASE. An XDP program uses only the kernel's stable user
interface, so the headers of any installed kernel do; they are shown to BCC under the name of the
running one, in a mount namespace of the calling process's own.
"""

import ctypes
import os
from pathlib import Path

from relay.errors import DataplaneError

MODULES = Path("/lib/modules")
_CLONE_NEWNS = 0x0002_0000  # linux/sched.h
_MS_REC_PRIVATE = 0x4000 | 0x4_0000  # linux/mount.h: MS_REC | MS_PRIVATE
_libc = ctypes.CDLL(None, use_errno=True)


def provide() -> None:
    """Make sure that BCC finds headers. It may move the process to a mount namespace of its own.

    Raises:
        DataplaneError: No headers are installed, or mounting is not allowed.
    """
    release = os.uname().release
    if (MODULES / release / "build").exists() or Path("/sys/kernel/kheaders.tar.xz").exists():
        return
    installed = _installed()
    links = {
        name: (installed / name).resolve()
        for name in ("build", "source")  # Debian splits headers into two trees
        if (installed / name).exists()
    }
    try:
        _overlay(MODULES / release, links)
    except OSError as error:
        raise DataplaneError(
            f"The headers of kernel {release} are missing, and those that are installed cannot "
            f"be used in their place: {error.strerror}. Run as root, with CAP_SYS_ADMIN."
        ) from None


def _installed() -> Path:
    """The directory of the newest kernel whose headers are installed."""
    found = [path.parent for path in MODULES.glob("*/build") if path.exists()]
    if not found:
        raise DataplaneError(
            "No kernel headers are installed, and BCC compiles against them: "
            "apt-get install linux-headers-amd64 (or of your architecture)."
        )
    return max(found, key=lambda path: path.stat().st_mtime)


def _overlay(directory: Path, links: dict[str, Path]) -> None:
    _check(_libc.unshare(_CLONE_NEWNS))
    _check(_libc.mount(b"none", b"/", None, _MS_REC_PRIVATE, None))
    _check(_libc.mount(b"icelane", bytes(MODULES), b"tmpfs", 0, b"size=64k"))
    directory.mkdir()
    for name, target in links.items():
        (directory / name).symlink_to(target)


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
