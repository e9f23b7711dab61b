"""Namespaces, mounts and settings of the kernel, as this process sees them."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relay import linux

# In a PID namespace of its own, so that process 1 can be looked at whoever this process is.
WRAPPER = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", '"$@"; exit', "sh")
MOUNTS = """
from pathlib import Path
from relay import linux
assert linux.in_mounts_of_init()
linux.unshare(linux.CLONE_NEWNS)
assert not linux.in_mounts_of_init()
linux.mount("none", Path("/"), flags=linux.MS_REC | linux.MS_PRIVATE)
linux.mount("of-a-test", Path("/mnt"), "tmpfs", data="size=64k")
assert " /mnt " in linux.mountinfo() and "of-a-test" in linux.mountinfo()
linux.unmount(Path("/mnt"))
assert "of-a-test" not in linux.mountinfo()
print("done")
"""


AGES = """
import os, sys
from relay import linux
print(linux.age_of_process(), flush=True)
sys.stdin.readline()
if len(sys.argv) == 1:
    os.execv(sys.executable, [sys.executable, "-c", os.environ["AGES"], "again"])
"""


def test_the_kernel_tells_who_is_at_the_other_end() -> None:
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        assert linux.peer_of(here) == (os.getpid(), os.geteuid())


def test_the_age_of_a_process_counts_from_its_start_whatever_it_executes() -> None:
    started = time.clock_gettime(time.CLOCK_BOOTTIME)
    with subprocess.Popen(
        [sys.executable, "-c", AGES],
        env=os.environ | {"AGES": AGES},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        first = float(process.stdout.readline())
        told = time.clock_gettime(time.CLOCK_BOOTTIME)
        process.stdin.write("go on\n")
        process.stdin.flush()
        second = float(process.stdout.readline())
        ended = time.clock_gettime(time.CLOCK_BOOTTIME)
    tick = 0.02  # the kernel counts in 10 ms
    assert 0 <= first <= told - started + tick
    assert first <= second <= ended - started + tick


def test_without_proc_a_process_starts_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux, "_STAT", Path("/nonexistent/stat"))
    assert linux.age_of_process() == 0.0


@pytest.mark.netns
def test_a_process_mounts_in_a_namespace_of_its_own() -> None:
    ran = subprocess.run(
        [*WRAPPER, sys.executable, "-c", MOUNTS], check=True, capture_output=True, text=True
    )
    assert ran.stdout == "done\n"


@pytest.mark.netns
def test_a_thread_comes_back_from_a_new_network_namespace() -> None:
    before = linux.netns_inode()
    with linux.restored_netns():
        linux.unshare(linux.CLONE_NEWNET)
        away = linux.netns_inode()
        assert away != before
    assert linux.netns_inode() == before == linux.NETNS.stat().st_ino


def test_settings_are_read_as_numbers() -> None:
    assert linux.sysctl("kernel/pid_max") == int(
        Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii")
    )
    with pytest.raises(FileNotFoundError):
        linux.sysctl("kernel/nothing_of_the_kind")


def test_errors_are_the_kernels(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        linux.enter_netns(tmp_path / "nowhere")
    with pytest.raises(OSError, match=r"Invalid argument|Operation not permitted"):
        linux.unmount(tmp_path)


CAPABILITIES = """
from relay import linux
names = "CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_NET_RAW"
print(*linux.lacking(*names), linux.in_first_user_namespace())
"""


@pytest.mark.netns
@pytest.mark.parametrize(
    ("wrapper", "told"),
    [
        ((), "True"),
        (("setpriv", "--bounding-set=-net_admin,-sys_admin"), "CAP_SYS_ADMIN CAP_NET_ADMIN True"),
        (("unshare", "--user", "--map-root-user"), "False"),
    ],
    ids=["root", "dropped", "user-namespace"],
)
def test_what_a_process_may_is_known(wrapper: tuple[str, ...], told: str) -> None:
    ran = subprocess.run(
        [*wrapper, sys.executable, "-c", CAPABILITIES], check=True, capture_output=True, text=True
    )
    assert ran.stdout.strip() == told


ADDRESSES = """
import subprocess
from relay import linux
linux.unshare(linux.CLONE_NEWNET)
print(linux.ipv4_addresses())
for command in (
    "link set lo up",
    "link add a0 type veth peer name a1",
    "address add 198.18.0.2/24 dev a0",
    "address add 198.18.0.3/24 dev a0",
):
    subprocess.run(["ip", *command.split()], check=True)
print(sorted(linux.ipv4_addresses()))
"""


@pytest.mark.netns
def test_addresses_of_interfaces() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ADDRESSES], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "['127.0.0.1', '198.18.0.2']"]
