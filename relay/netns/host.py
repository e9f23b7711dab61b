"""One host of a lab: a network namespace, and how to run something in it.

The system calls are made here rather than by pyroute2, which forks for them: a child that catches
the parent's Ctrl-C would go on as if it were the parent, up to taking the lab down.
"""

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyroute2 import IPRoute

from relay.errors import NetnsError

NAMESPACES = Path("/run/netns")  # where `ip netns` looks for them, too

_THIS = Path("/proc/thread-self/ns/net")
_CLONE_NEWNET = 0x4000_0000  # linux/sched.h
_MS_BIND, _MNT_DETACH = 4096, 2  # linux/mount.h, linux/fs.h
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Host:
    """A host is a network namespace and nothing else.

    Commands enter the network namespace only. `ip netns exec` would also replace /sys by a
    fresh mount, and with it hide the BPF file system that the relay's pins live in.
    """

    lab: str
    name: str

    @property
    def namespace(self) -> str:
        """The namespace's name, as `ip netns` shows it."""
        return f"icelane-{self.lab}-{self.name}"

    @property
    def path(self) -> Path:
        """The file that keeps the namespace."""
        return NAMESPACES / self.namespace

    def exists(self) -> bool:
        """Whether the namespace is there."""
        return self.path.exists()

    def create(self) -> None:
        """Make the namespace.

        Raises:
            NetnsError: It is there already, or the kernel refused.
        """
        NAMESPACES.mkdir(parents=True, exist_ok=True)
        try:
            self.path.touch(exist_ok=False)
        except FileExistsError:
            raise NetnsError(f"The network namespace {self.namespace} is there already.") from None
        try:
            with _back_home():
                _check(_libc.unshare(_CLONE_NEWNET))
                _check(_libc.mount(bytes(_THIS), bytes(self.path), None, _MS_BIND, None))
        except OSError as error:
            self.path.unlink()
            raise NetnsError(
                f"The kernel did not make a network namespace: {error.strerror}."
            ) from None

    def remove(self) -> None:
        """Remove the namespace; one that is not there is fine."""
        if self.exists():
            _libc.umount2(bytes(self.path), _MNT_DETACH)
            self.path.unlink()

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command line that runs `arguments` in this host, in the same process."""
        return ["nsenter", f"--net={self.path}", "--", *arguments]

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Move the calling thread into this host; sockets made meanwhile stay in it."""
        with _back_home():
            _enter(self.path)
            yield

    @contextmanager
    def netlink(self) -> Iterator[IPRoute]:
        """What configures this host's network."""
        with self.inside(), IPRoute() as netlink:
            yield netlink

    def sysctl(self, name: str, value: int | None = None) -> int:
        """Read a value below /proc/sys/net of this host, or write it first when one is given."""
        path = Path("/proc/sys/net", *name.split("/"))
        with self.inside():
            if value is not None:
                path.write_text(str(value), encoding="ascii")
            return int(path.read_text(encoding="ascii"))


@contextmanager
def _back_home() -> Iterator[None]:
    """Whatever network namespace the thread goes to, in the end it is back where it was."""
    home = os.open(_THIS, os.O_RDONLY)
    try:
        yield
    finally:
        _check(_libc.setns(home, _CLONE_NEWNET))
        os.close(home)


def _enter(path: Path) -> None:
    there = os.open(path, os.O_RDONLY)
    try:
        _check(_libc.setns(there, _CLONE_NEWNET))
    finally:
        os.close(there)


def _check(result: int) -> None:
    """Raise OSError when a system call has failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
