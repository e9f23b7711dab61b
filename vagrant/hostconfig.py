"""How this host reaches Debian's archive, for a machine that shall reach it the same way."""

import re
import subprocess
from pathlib import Path

RELEASE = "bookworm"
DEFAULT_MIRROR = "http://deb.debian.org/debian"
DEFAULT_SOURCES = f"""\
deb {DEFAULT_MIRROR} {RELEASE} main
deb {DEFAULT_MIRROR} {RELEASE}-updates main
deb http://deb.debian.org/debian-security {RELEASE}-security main
"""

# Settings of apt that say how to reach an archive: proxies, and what to make of its dates.
_REACHING = re.compile(r"Acquire::(http|https|Check-Valid-Until|Check-Date|Languages)\b")


def sources(index_targets: str) -> str:
    """The machine's apt sources: Debian's own among those of this host, or the public ones.

    Args:
        index_targets: What `apt-get indextargets` printed: origin, URI, release, component.
    """
    found = [
        f"deb {uri.rstrip('/')} {release} {component}\n"
        for line in index_targets.splitlines()
        for origin, uri, release, component in [line.split()]
        if origin == "Debian" and release.startswith(RELEASE)
    ]
    has_release = any(f" {RELEASE} " in line for line in found)
    return "".join(dict.fromkeys(found)) if has_release else DEFAULT_SOURCES


def mirror(sources_list: str) -> str:
    """The archive of the release itself, without security and updates."""
    return next(
        uri
        for _, uri, release, *_ in map(str.split, sources_list.splitlines())
        if release == RELEASE
    )


def settings(dump: str) -> str:
    """The settings of apt that the machine needs.

    Args:
        dump: What `apt-config dump` printed.
    """
    return "".join(f"{line}\n" for line in dump.splitlines() if _REACHING.match(line))


def write_apt_files(directory: Path) -> str:
    """Write the machine's /etc/apt, and return the mirror to take its first packages from."""
    found = sources(
        _output(
            *("apt-get", "indextargets", "Identifier: Packages"),
            *("--format", "$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)"),
        )
    )
    (directory / "apt.conf.d").mkdir(parents=True, exist_ok=True)
    (directory / "sources.list").write_text(found, "utf-8")
    (directory / "apt.conf.d" / "80host").write_text(
        settings(_output("apt-config", "dump", "Acquire")), "utf-8"
    )
    return mirror(found)


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""  # no apt on this host: the public archive does
