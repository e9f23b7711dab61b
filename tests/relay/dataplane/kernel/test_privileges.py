"""What the kernel demands: a process that lacks some of it is told what."""

import subprocess
import sys

import pytest

REQUIRE = """
import ctypes, os
from pathlib import Path
from relay.dataplane.kernel import privileges
from relay.errors import DataplaneError
{become}
try:
    privileges.require(*privileges.LOADING)
except DataplaneError as error:
    print(error)
else:
    print("fine")
"""


# Only when all is imported: a checkout may be readable for its owner only.
ANOTHER_USER = "os.setuid(65534)"
ROOT_OF_A_NAMESPACE = """
assert ctypes.CDLL(None).unshare(0x10000000) == 0  # CLONE_NEWUSER
Path("/proc/self/uid_map").write_text("0 0 1")
"""


def said(*wrapper: str, become: str = "") -> str:
    code = REQUIRE.format(become=become)
    ran = subprocess.run(
        [*wrapper, sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return ran.stdout.strip()


@pytest.mark.netns
def test_root_has_all() -> None:
    assert said() == "fine"


@pytest.mark.netns
@pytest.mark.parametrize("name", ["sys_admin", "net_raw"])
def test_a_dropped_capability_is_named(name: str) -> None:
    text = said("setpriv", f"--bounding-set=-{name}")
    assert text.startswith(f"The XDP dataplane needs CAP_{name.upper()}, which this process lacks")


@pytest.mark.netns
def test_several_are_named_together() -> None:
    assert "CAP_SYS_ADMIN and CAP_NET_RAW" in said("setpriv", "--bounding-set=-sys_admin,-net_raw")


@pytest.mark.netns
def test_another_user_is_told_that_it_needs_root() -> None:
    assert said(become=ANOTHER_USER).startswith("The XDP dataplane needs root")


@pytest.mark.netns
def test_root_of_a_user_namespace_is_not_the_hosts() -> None:
    assert "root of a user namespace only" in said(become=ROOT_OF_A_NAMESPACE)
