"""Whether a machine can run a relay: kernel, BPF, privileges, limits and clock. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from relay.doctor.finding import Finding, Verdict

OLDEST = (5, 18)  # the first Linux with bpf_xdp_get_buff_len and XDP programs that take fragments
TESTED = (6, 1)
_INSTALL_HEADERS = "apt-get install linux-headers-amd64 (or of your architecture)"
_INSTALL_BCC = "apt-get install python3-bpfcc, and then: icelane relay build"


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the kernel path needs of a machine.

    Attributes:
        release: The kernel's.
        btf: Whether it has its types where programs look for them.
        bpffs: Whether the BPF file system is mounted.
        refused: Why this process may not load programs, in a sentence; None where it may.
        root: Whether this process is root.
        program: Where a compiled program of these sources is.
        headers: Of which kernel headers are installed.
        bcc: Whether BCC is installed.
        loopback_off: Settings of forwarding on the loopback that are off and cannot be switched on
            by this process, as sysctl(8) has them.
        read_only: Whether the BPF file system is mounted so that nothing can be pinned.
    """

    release: str
    btf: bool
    bpffs: bool
    refused: str | None
    root: bool
    program: str | None
    headers: str | None
    bcc: bool
    loopback_off: tuple[str, ...] = ()
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What the kernel grants a process.

    Attributes:
        few_files: That it may open fewer files than a relay may want, in a sentence; None where
            it may open enough.
        buffer: The largest receive buffer of a socket that anybody may ask for, in bytes; None
            where that cannot be read.
        any_buffer: Whether the relay may have larger ones: with CAP_NET_ADMIN.
    """

    few_files: str | None
    buffer: int | None
    any_buffer: bool


def kernel(facts: Kernel, trouble: Verdict) -> Iterator[Finding]:
    """What the kernel path lacks.

    Args:
        facts: The machine.
        trouble: What it is when the kernel path cannot be had: with `auto`, no failure.
    """
    yield _release(facts.release, trouble)
    said = "the kernel tells its types" if facts.btf else "absent, and the program needs none"
    yield Finding.ok("btf", f"/sys/kernel/btf/vmlinux: {said}")
    yield _bpffs(facts, trouble)
    yield _capabilities(facts, trouble)
    yield _program(facts, trouble)
    yield _loopback(facts, trouble)


def limits(found: Limits, files: int, buffer: int) -> Iterator[Finding]:
    """Whether a process may have what a relay wants.

    Args:
        found: What it may have.
        files: How many files the relay may want to open.
        buffer: How large its sockets' receive buffers want to be, in bytes.
    """
    if found.few_files is not None:
        yield Finding.told("descriptors", Verdict.WARN, found.few_files)
    else:
        yield Finding.ok("descriptors", f"{files:,} files may be open at once, as are wanted")
    megabytes = f"receive buffers of {buffer >> 20} MB can be had"
    if found.any_buffer:
        yield Finding.ok("rmem", f"{megabytes}, by CAP_NET_ADMIN")
    elif found.buffer is None:
        yield Finding.unknown("rmem", "net.core.rmem_max cannot be read here")
    elif found.buffer >= buffer:
        yield Finding.ok("rmem", f"{megabytes}: net.core.rmem_max is {found.buffer:,}")
    else:
        yield Finding(
            "rmem",
            Verdict.WARN,
            f"net.core.rmem_max is {found.buffer:,}: in userspace a burst of more is lost",
            f"sysctl -w net.core.rmem_max={buffer}",
        )


def _release(release: str, trouble: Verdict) -> Finding:
    numbers = re.match(r"(\d+)\.(\d+)", release)
    version = (int(numbers[1]), int(numbers[2])) if numbers else None
    if version is None:
        return Finding.unknown("kernel", f"Linux {release!r} says no version")
    wanted = ".".join(map(str, TESTED))
    if version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return Finding(
            "kernel",
            trouble,
            f"Linux {release} has not what the XDP program needs, which came with {oldest}",
            f"a kernel of {wanted} or newer, or --dataplane userspace",
        )
    if version < TESTED:
        return Finding(
            "kernel",
            Verdict.WARN,
            f"Linux {release} is older than any that Icelane is tested with",
            f"a kernel of {wanted} or newer",
        )
    return Finding.ok("kernel", f"Linux {release}")


def _bpffs(facts: Kernel, trouble: Verdict) -> Finding:
    if facts.read_only:
        says = "mounted read-only at /sys/fs/bpf: program and flows cannot be pinned"
        return Finding("bpffs", trouble, says, "mount -o remount,rw /sys/fs/bpf")
    if facts.bpffs:
        return Finding.ok("bpffs", "mounted at /sys/fs/bpf")
    return Finding(
        "bpffs",
        Verdict.WARN,
        "not mounted at /sys/fs/bpf: a relay mounts it, and flows outlive it only where all see "
        "that mount",
        "mount -t bpf bpf /sys/fs/bpf",
    )


def _capabilities(facts: Kernel, trouble: Verdict) -> Finding:
    if facts.refused is None:
        return Finding.ok("capabilities", "this process may load programs into the kernel")
    if not facts.root:
        return Finding.unknown(
            "capabilities",
            "this process is not root: it cannot see what the relay will be given",
            "run it as the relay is run, such as with sudo",
        )
    return Finding.told("capabilities", trouble, facts.refused)


def _program(facts: Kernel, trouble: Verdict) -> Finding:
    if facts.program is not None:
        return Finding.ok("program", f"compiled before ({facts.program}): needs no headers")
    if not facts.bcc:
        return Finding("program", trouble, "not compiled, and BCC is missing", _INSTALL_BCC)
    if facts.headers is None:
        return Finding(
            "program",
            trouble,
            "not compiled, and no kernel headers are installed for BCC",
            f"{_INSTALL_HEADERS}, and then: icelane relay build",
        )
    return Finding(
        "program",
        Verdict.WARN,
        f"not compiled: the first start does it, with the headers of {facts.headers}",
        "icelane relay build",
    )


def _loopback(facts: Kernel, trouble: Verdict) -> Finding:
    if not facts.loopback_off:
        return Finding.ok("forwarding", "on for the loopback, or the relay can switch it on")
    names = " and ".join(facts.loopback_off)
    command = "sysctl -w " + " ".join(f"{each}=1" for each in facts.loopback_off)
    if not facts.root:
        says = f"{names} are off; a relay that is root switches them on"
        return Finding.unknown("forwarding", says, command)
    return Finding(
        "forwarding", trouble, f"{names} are off, and /proc/sys cannot be written here", command
    )
