"""Giving up root: a relay needs nothing of it once it is told whom to become, or has a helper.

What is dropped cannot be had again: the bounding set is emptied and `no_new_privs` set, so that
neither a set-user-id program nor a file's capabilities help who has taken the process over.
"""

import ctypes
import os
import pwd
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from relay.admin.place import DIRECTORY
from relay.errors import ConfigError

# linux/prctl.h
_PR_SET_KEEPCAPS, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 8, 24, 38
# linux/capability.h: two words of 32 bits each of effective, permitted and inheritable ones
_CAPABILITY_VERSION_3 = 0x2008_0522
_CAP_NET_BIND_SERVICE = 10
_LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")
_FIRST_FREE_PORT = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
# Others pass through that of all relays to what is theirs, and list and write nothing.
_OWN_MODE, _SHARED_MODE = 0o770, 0o771

_libc = ctypes.CDLL(None, use_errno=True)


class Account(NamedTuple):
    """A user of this host.

    Attributes:
        name: Its name.
        uid: Its number.
        gid: Its group's.
        groups: All its groups.
    """

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]

    def __str__(self) -> str:
        """Its name."""
        return self.name


def account(name: str) -> Account:
    """The user of a name.

    Raises:
        ValueError: There is none, or it is root.
    """
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise ValueError(
            f"this host has no user {name!r}: make it with `adduser --system`"
        ) from None
    if found.pw_uid == 0:
        raise ValueError("that is root, which it is to be no longer")
    groups = tuple(os.getgrouplist(name, found.pw_gid))
    return Account(name, found.pw_uid, found.pw_gid, groups)


def require_root(user: Account) -> None:
    """Make sure that this process can become somebody else.

    Raises:
        ConfigError: It is not root.
    """
    if os.geteuid() != 0:
        raise ConfigError(f"only root can become {user.name}: run it as root, or leave user away")


def become(user: Account, directory: Path, ports: Iterable[int]) -> None:
    """Become a user without any capability, for good; to be called before there are threads.

    Args:
        user: Whom.
        directory: Where it will make its sockets. If it is not there it is made, so that the user's
            group may write to it, as it may to `DIRECTORY` from now on.
        ports: Those that it will bind. For low ones it keeps CAP_NET_BIND_SERVICE, which
            processes that it starts do not have.

    Raises:
        ConfigError: This process may not.
    """
    require_root(user)
    first_free = int(_FIRST_FREE_PORT.read_text(encoding="ascii"))
    kept = [_CAP_NET_BIND_SERVICE] if any(0 < port < first_free for port in ports) else []
    try:
        _share(directory, user)
        _change(user, kept)
    except OSError as error:
        raise ConfigError(
            f"this process cannot become {user.name} ({error.strerror}): it needs CAP_SETUID, "
            "CAP_SETGID, CAP_SETPCAP and CAP_CHOWN for that"
        ) from None


def _share(directory: Path, user: Account) -> None:
    """Let the user write to a directory that is made here, or is that of all relays of root."""
    was_there = directory.exists()
    if was_there and directory != DIRECTORY:
        return
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid == 0:
        os.chown(directory, 0, user.gid)
        directory.chmod(_SHARED_MODE if directory == DIRECTORY else _OWN_MODE)


def _change(user: Account, kept: Iterable[int]) -> None:
    for capability in range(int(_LAST_CAPABILITY.read_text(encoding="ascii")) + 1):
        _prctl(_PR_CAPBSET_DROP, capability)
    _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    bits = sum(1 << capability for capability in kept)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    low = ctypes.c_uint32(bits).value
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)(low, low, 0, 0, 0, 0)))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(value), *(ctypes.c_ulong(0) for _ in range(3))))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
