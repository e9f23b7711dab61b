"""What machine figures were measured on: they mean little without."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

_PACKAGES = (
    "nginx",
    "coturn",
    "janus",
    "nftables",
    "golang-go",
    "gcc",
    "python3-bpfcc",
)  # Debian's
_CPU_INFO = Path("/proc/cpuinfo")
_MEMORY_INFO = Path("/proc/meminfo")


def describe() -> dict[str, str]:
    """The machine and the versions of what runs on it, by name."""
    found = {
        "processor": _line(_CPU_INFO, "model name"),
        "cores": str(os.cpu_count()),
        "memory": f"{int(_line(_MEMORY_INFO, 'MemTotal').split()[0]) / 1e6:.0f} GB",
        "hypervisor": "yes" if "hypervisor" in _line(_CPU_INFO, "flags").split() else "no",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "icelane": version("icelane"),
        "commit": _commit(),
    }
    return found | {name: packaged for name in _PACKAGES if (packaged := _package(name))}


def _line(path: Path, name: str) -> str:
    for line in path.read_text("ascii", "replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0"


def _commit() -> str:
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return "installed"
    described = _output("git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10")
    return described or "unknown"


def _package(name: str) -> str:
    return _output("dpkg-query", "-W", "-f=${Version}", name)


def _output(*command: str) -> str:
    """What a command prints; nothing if it fails."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""
