"""The BPF file system is mounted where it is missing, whatever can be known of the machine."""

import subprocess
import sys

import pytest

MOUNT = "from relay.dataplane.kernel import bpffs; print(bpffs.mount()); assert bpffs.mounted()"
PRIVATE = ("unshare", "--mount", "--propagation", "private")
# In a PID namespace of its own, the first process is PID 1: what it may know is in our hands.
AS_FIRST = (*PRIVATE, "--pid", "--fork", "--mount-proc")
WITHOUT = "umount /sys/fs/bpf 2>/dev/null; test $(stat -f -c %T /sys/fs/bpf) != bpf_fs && "

pytestmark = pytest.mark.bpf


def mount(*wrapper: str, prepare: str = "") -> str:
    """What `bpffs.mount` says in mounts of its own, from which the file system was taken."""
    script = f'{WITHOUT} {prepare} exec "$@"'
    ran = subprocess.run(
        [*wrapper, "sh", "-c", script, "sh", sys.executable, "-c", MOUNT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_it_is_mounted_where_it_is_missing() -> None:
    assert mount(*AS_FIRST) == "The BPF file system was not mounted: mounted it at /sys/fs/bpf."


def test_what_cannot_be_known_of_process_1_stops_nobody() -> None:
    said = mount(*PRIVATE, prepare="mount -t tmpfs none /proc/1 &&")
    assert said == "The BPF file system was not mounted: mounted it at /sys/fs/bpf."


def test_a_private_mount_is_made_with_a_warning() -> None:
    said = mount(*AS_FIRST, "sh", "-c", f'{" ".join(PRIVATE)} -- "$@"', "sh")
    assert "mounted it at /sys/fs/bpf" in said
    assert "Flows and program end with the last of them" in said


def test_a_mount_that_others_see_is_not_called_private() -> None:
    shared = "mount --make-shared / && mount --make-rshared /sys && "
    said = mount(
        *AS_FIRST, "sh", "-c", f'{shared} unshare --mount --propagation unchanged -- "$@"', "sh"
    )
    assert said == "The BPF file system was not mounted: mounted it at /sys/fs/bpf."


def test_nothing_is_said_where_it_is_mounted() -> None:
    assert mount(*AS_FIRST, prepare="mount -t bpf bpf /sys/fs/bpf &&") == "None"


def test_one_that_is_read_only_is_refused_with_what_mends_it() -> None:
    prepare = "mount -t bpf bpf /sys/fs/bpf && mount -o remount,ro,bind /sys/fs/bpf &&"
    with pytest.raises(AssertionError, match="mount -o remount,rw /sys/fs/bpf"):
        mount(*AS_FIRST, prepare=prepare)


def test_one_that_has_no_place_is_refused_with_what_mends_it() -> None:
    with pytest.raises(AssertionError, match="mount sysfs first"):
        mount(*AS_FIRST, prepare="mount -t tmpfs none /sys/fs &&")
