"""Looks at this machine: see `relay.doctor.host` for what is made of it."""

import importlib.util
import os
from pathlib import Path

from relay import linux
from relay.dataplane.kernel import bpffs, headers, loforwarding, objects, privileges
from relay.doctor.host import Kernel, Limits
from relay.errors import DataplaneError
from relay.run.service import too_few_files

_BTF = Path("/sys/kernel/btf/vmlinux")


def kernel() -> Kernel:
    """What the kernel path needs of a machine."""
    return Kernel(
        release=os.uname().release,
        btf=_BTF.exists(),
        bpffs=bpffs.mounted(),
        read_only=bpffs.read_only(),
        refused=_refused(),
        root=os.geteuid() == 0,
        program=_program(),
        headers=headers.installed(),
        bcc=importlib.util.find_spec("bcc") is not None,
        loopback_off=tuple(loforwarding.stuck()),
    )


def limits(files: int, *, gives_up_root: bool) -> Limits:
    """What the kernel grants this process.

    Args:
        files: How many files the relay may want to open.
        gives_up_root: Whether the relay gives up its capabilities before it opens sockets.
    """
    try:
        buffer = linux.sysctl("net/core/rmem_max")
    except OSError:  # not in this network namespace
        buffer = None
    any_buffer = not gives_up_root and not linux.lacking("CAP_NET_ADMIN")
    return Limits(too_few_files(files), buffer, any_buffer)


def clock_is_set() -> bool | None:
    """Whether something sets this machine's clock; None where the kernel does not tell."""
    try:
        return linux.clock_is_set()
    except OSError:
        return None


def _program() -> str | None:
    try:
        found = objects.find()
    except DataplaneError:  # not even its sources are here
        return None
    return None if found is None else str(found.path)


def _refused() -> str | None:
    try:
        privileges.require(*privileges.LOADING)
    except DataplaneError as error:
        return str(error)
    return None
