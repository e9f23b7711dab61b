"""One host of a network: a network namespace, and how to run something in it.

The system calls are made here rather than by pyroute2, which forks for them: a child that catches
the parent's Ctrl-C would go on as if it were the parent, up to taking the network down.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pyroute2 import IPRoute

from relay import linux
from relay.errors import NetnsError

NAMESPACES = Path("/run/netns")  # where `ip netns` looks for them, too


@dataclass(frozen=True, slots=True)
class Host:
    """A host is a network namespace and nothing else.

    Commands enter the network namespace only. `ip netns exec` would also replace /sys by a
    fresh mount, and with it hide the BPF file system that the relay's pins live in.

    Attributes:
        network: The name of the network that it belongs to.
        name: Its own name in there.
    """

    network: str
    name: str

    @property
    def namespace(self) -> str:
        """The namespace's name, as `ip netns` shows it."""
        return f"icelane-{self.network}-{self.name}"

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
            raise NetnsError(
                f"The network namespace {self.namespace} is there already; if nothing uses it, "
                f"remove it: ip netns delete {self.namespace}"
            ) from None
        try:
            _prepare_directory()
            with linux.restored_netns():
                linux.unshare(linux.CLONE_NEWNET)
                linux.mount(str(linux.NETNS), self.path, flags=linux.MS_BIND)
        except OSError as error:
            self.path.unlink()
            raise NetnsError(
                f"The kernel did not make a network namespace: {error.strerror}. {what_it_needs()}."
            ) from None

    def remove(self) -> None:
        """Remove the namespace; one that is not there is fine."""
        if self.exists():
            with contextlib.suppress(OSError):  # a file that no namespace was mounted at
                linux.unmount(self.path)
            self.path.unlink()

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command line that runs `arguments` in this host, in the same process."""
        return ["nsenter", f"--net={self.path}", "--", *arguments]

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Move the calling thread into this host; sockets made meanwhile stay in it."""
        with linux.restored_netns():
            linux.enter_netns(self.path)
            yield

    @contextmanager
    def netlink(self) -> Iterator[IPRoute]:
        """What configures this host's network."""
        with self.inside(), IPRoute() as netlink:
            yield netlink

    def sysctl(self, name: str, value: int | None = None) -> int:
        """Read a kernel setting below ``net`` in this host, or write it first when one is given."""
        with self.inside():
            return linux.sysctl(f"net/{name}", value)


def what_it_needs() -> str:
    """What this process has to be given before it can make namespaces and their links."""
    missing = linux.lacking("CAP_SYS_ADMIN", "CAP_NET_ADMIN")
    if os.geteuid() != 0 or not missing:
        return "Run as root"
    return f"This process lacks {' and '.join(missing)} though it is root: give it that"


def _prepare_directory() -> None:
    """Make the directory a shared mount of its own, as `ip netns` does, and under its lock.

    Otherwise the next `ip netns add` does it, and takes our mounts along: they are there twice
    then, and a file below the second one cannot be removed.
    """
    directory = os.open(NAMESPACES, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        shared = partial(linux.mount, "", NAMESPACES, flags=linux.MS_SHARED | linux.MS_REC)
        try:
            shared()
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # It is no mount. The list of mounts does not tell: it has those that others hide.
            linux.mount(str(NAMESPACES), NAMESPACES, flags=linux.MS_BIND | linux.MS_REC)
            shared()
    finally:
        os.close(directory)
