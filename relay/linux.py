"""What Linux offers beyond the standard library: namespaces, mounts, /proc, a socket option.

System calls that fail raise OSError with the kernel's errno; callers say what it means.
"""

import ctypes
import fcntl
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# linux/sched.h
CLONE_NEWNS = 0x0002_0000
CLONE_NEWNET = 0x4000_0000
# linux/mount.h
MS_BIND, MS_REC, MS_PRIVATE, MS_SHARED = 0x1000, 0x4000, 0x4_0000, 0x10_0000
_MNT_DETACH = 2  # linux/fs.h

# linux/capability.h
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21}
_ALL_USERS = ["0", "0", "4294967295"]  # proc(5): what the first user namespace's uid_map has

# linux/in.h, linux/in6.h
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_OMIT = 10, 23, 5

NETNS = Path("/proc/thread-self/ns/net")
SYSCTL = Path("/proc/sys")
_STAT = Path("/proc/self/stat")
# linux/timex.h: struct timex, where a long has 8 bytes
_TIMEX_SIZE, _TIMEX_STATUS, _STA_UNSYNC = 208, 40, 0x40
_SIOCGIFADDR = 0x8915  # linux/sockios.h
_UCRED = struct.Struct("=iII")  # linux/socket.h: struct ucred, a process, its user and its group
_IFREQ = struct.Struct("16s4x4s16x")  # linux/if.h: a name, and a sockaddr_in; 40 bytes

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move the calling thread to new namespaces."""
    _check(_libc.unshare(flags))


def enter_netns(path: Path) -> None:
    """Move the calling thread to the network namespace that a file names."""
    namespace = os.open(path, os.O_RDONLY)
    try:
        _check(_libc.setns(namespace, CLONE_NEWNET))
    finally:
        os.close(namespace)


@contextmanager
def restored_netns() -> Iterator[None]:
    """Bring the calling thread back to its network namespace in the end."""
    before = os.open(NETNS, os.O_RDONLY)
    try:
        yield
    finally:
        try:
            _check(_libc.setns(before, CLONE_NEWNET))
        finally:
            os.close(before)


def netns_inode() -> int:
    """The inode number of the calling thread's network namespace, by which the kernel names it."""
    return NETNS.stat().st_ino


def mount(
    source: str, target: Path, kind: str | None = None, flags: int = 0, data: str = ""
) -> None:
    """Mount a file system, or change a mount."""
    _check(
        _libc.mount(
            source.encode(), bytes(target), kind.encode() if kind else None, flags, data.encode()
        )
    )


def unmount(target: Path) -> None:
    """Take a mount away at once, and free it when nobody uses it any more."""
    _check(_libc.umount2(bytes(target), _MNT_DETACH))


def ipv4_addresses() -> list[str]:
    """The first IPv4 address of each interface that has one."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            request = _IFREQ.pack(name.encode(), b"")
            try:
                _, address = _IFREQ.unpack(fcntl.ioctl(asking, _SIOCGIFADDR, request))
            except OSError:
                continue  # it has none
            found.append(socket.inet_ntoa(address))
    return found


def age_of_process() -> float:
    """How long ago this process was started, in seconds to 10 ms; what it executed does not count.

    An unreadable /proc has it start now.
    """
    try:
        fields = _STAT.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of proc(5), after the name
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)


def in_mounts_of_init() -> bool:
    """Whether this process is in the mount namespace of process 1.

    Raises:
        OSError: That cannot be known: /proc/1 may be unreadable even for root.
    """
    return Path("/proc/1/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()


def mountinfo() -> str:
    """The mounts that this process sees, as proc(5) describes the file."""
    return Path("/proc/self/mountinfo").read_text(encoding="utf-8")


def sysctl(name: str, value: int | None = None) -> int:
    """Read a kernel setting, after writing it when a value is given.

    Settings below ``net`` are those of the calling thread's network namespace.

    Args:
        name: Its path below /proc/sys, such as ``net/ipv4/ip_forward``.
        value: The new value.
    """
    path = SYSCTL / name
    if value is not None:
        path.write_text(str(value), encoding="ascii")
    return int(path.read_text(encoding="ascii"))


def clock_is_set() -> bool:
    """Whether something sets the wall clock, such as NTP, as far as the kernel knows.

    Raises:
        OSError: It does not tell this process.
    """
    asked = ctypes.create_string_buffer(_TIMEX_SIZE)  # its first field, modes, is 0: nothing is set
    state = _libc.adjtimex(asked)
    if state < 0:
        _check(state)
    (status,) = struct.unpack_from("i", asked, _TIMEX_STATUS)
    return not status & _STA_UNSYNC


def ignore_path_mtu(udp: socket.socket, family: int) -> None:
    """Send what fits the interface whole, and the rest in fragments, whatever ICMP says.

    Anybody can forge an error that says that only 552 bytes fit the path. The kernel believes it
    for ten minutes, and would cut every packet of WebRTC into three. What does not fit the path is
    for routers to fragment or to refuse, and for the sender to learn; the relay cannot make its
    packets smaller (RFC 4787, REQ-13).

    Args:
        udp: A socket for datagrams.
        family: Its address family.
    """
    if family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_OMIT)
    else:
        udp.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_OMIT)


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """The process at the other end of a Unix socket, and its user, as the kernel knows them."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, user, _ = _UCRED.unpack(told)
    return pid, user


def lacking(*names: str) -> list[str]:
    """Those of some capabilities that are not among the effective ones of the calling thread."""
    status = Path("/proc/thread-self/status").read_text(encoding="utf-8")
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    return [name for name in names if not effective >> CAPABILITIES[name] & 1]


def in_first_user_namespace() -> bool:
    """Whether root here is root of the host, and not of a user namespace."""
    return Path("/proc/self/uid_map").read_text(encoding="ascii").split() == _ALL_USERS


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
