"""BCC is shown kernel headers, whichever are installed, in mounts of the process's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.bpf

RELEASE = os.uname().release
RUNNING, OTHER = f"/lib/modules/{RELEASE}", "/lib/modules/0.0-other"
ENSURE = """
import os
from relay.dataplane.kernel import headers
from relay.errors import DataplaneError
before = os.readlink("/proc/self/ns/mnt")
try:
    headers.ensure()
except DataplaneError as error:
    print(error)
else:
    print("moved" if os.readlink("/proc/self/ns/mnt") != before else "stayed")
"""


HIDE = (
    "mount -t tmpfs none /lib/modules",
    "if test -e /sys/kernel/kheaders.tar.xz; then mount -t tmpfs none /sys/kernel; fi",
)


def ensure(*prepare: str, then: str = "true") -> list[str]:
    """What happens where /lib/modules is as it was prepared, and what is to be seen afterwards."""
    script = "; ".join([*HIDE, *prepare, 'exec "$@"'])
    ran = subprocess.run(
        [
            *("unshare", "--mount", "--propagation", "private", "sh", "-c", script),
            *("sh", sys.executable, "-c", f"{ENSURE}\nos.system({then!r})"),
        ],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONUNBUFFERED": "1"},
    )
    return ran.stdout.splitlines()


def test_those_of_the_running_kernel_are_used_as_they_are() -> None:
    assert ensure(f"mkdir -p {RUNNING}/build {OTHER}/build") == ["stayed"]


def test_those_of_another_kernel_are_shown_under_the_running_ones_name(tmp_path: Path) -> None:
    for name in ("build", "source"):  # Debian splits headers into two trees
        (tmp_path / name / f"of-{name}").mkdir(parents=True)
    prepare = f"mkdir {OTHER}", f"ln -s {tmp_path}/* {OTHER}"
    seen = ensure(*prepare, then=f"cd {RUNNING} && ls build/ source/")
    assert seen == ["moved", "build/:", "of-build", "", "source/:", "of-source"]


def test_without_any_the_package_is_named() -> None:
    (said,) = ensure()
    assert said.startswith("No kernel headers are installed")
    assert "apt-get install linux-headers" in said
