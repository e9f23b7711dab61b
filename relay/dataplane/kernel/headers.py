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
    name = installed()
    if name == release:
        return release
    if name is None:
        raise DataplaneError(
            "No kernel headers are installed, and BCC compiles against them: "
            "apt-get install linux-headers-amd64 (or of your architecture)."
        )
    directory = MODULES / name
    links = {
        part: (directory / part).resolve()
        for part in ("build", "source")  # Debian splits headers into two trees
        if (directory / part).exists()
    }
    try:
        _overlay(MODULES / release, links)
    except OSError as error:
        raise DataplaneError(
            f"The headers of kernel {release} are missing, and those that are installed cannot "
            f"be used in their place: {error.strerror}. Run as root, with CAP_SYS_ADMIN."
        ) from None
    return name


def installed() -> str | None:
    """Of which kernel the headers are that BCC would use; None where there are none.

    They are the running kernel's, or those that were installed last.
    """
    release = os.uname().release
    if (MODULES / release / "build").exists() or Path("/sys/kernel/kheaders.tar.xz").exists():
        return release
    found = [path.parent for path in MODULES.glob("*/build") if path.exists()]
    return max(found, key=lambda path: path.stat().st_mtime).name if found else None


def _overlay(directory: Path, links: dict[str, Path]) -> None:
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", Path("/"), flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("icelane", MODULES, "tmpfs", data="size=64k")
    directory.mkdir()
    for name, target in links.items():
        (directory / name).symlink_to(target)
