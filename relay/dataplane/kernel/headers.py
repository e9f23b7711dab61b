"""Kernel headers for BCC, also where those of the running kernel are not installed.

BCC looks for headers in /lib/modules/RELEASE. An XDP program uses only the kernel's stable user
interface, so the headers of any installed kernel do; they are shown to BCC under the name of the
running one, in a mount namespace of the calling process's own.
"""

import os
from pathlib import Path

from relay import linux
from relay.errors import DataplaneError

MODULES = Path("/lib/modules")


def ensure() -> str:
    """Make sure that BCC finds headers. It may move the process to a mount namespace of its own.

    Returns:
        Of which kernel they are.

    Raises:
        DataplaneError: No headers are installed, or mounting is not allowed.
    """
    release = os.uname().release
    if (MODULES / release / "build").exists() or Path("/sys/kernel/kheaders.tar.xz").exists():
        return release
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
    return installed.name


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
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", Path("/"), flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("icelane", MODULES, "tmpfs", data="size=64k")
    directory.mkdir()
    for name, target in links.items():
        (directory / name).symlink_to(target)
