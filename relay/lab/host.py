"""One host of a lab: a network namespace, and how to run something in it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyroute2 import netns

from relay.lab.errors import LabError

NAMESPACES = Path("/run/netns")


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
            LabError: It is there already, or the kernel refused.
        """
        if self.exists():
            raise LabError(f"The network namespace {self.namespace} is there already.")
        netns.create(self.namespace)
        if not self.exists():
            raise LabError(f"The kernel did not make the network namespace {self.namespace}.")

    def remove(self) -> None:
        """Remove the namespace; one that is not there is fine."""
        if self.exists():
            netns.remove(self.namespace)

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command line that runs `arguments` in this host, in the same process."""
        return ["nsenter", f"--net={self.path}", "--", *arguments]

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Move the calling thread into this host; sockets made meanwhile stay in it."""
        netns.pushns(self.namespace)
        try:
            yield
        finally:
            netns.popns()

    def sysctl(self, name: str, value: int | None = None) -> int:
        """Read a value below /proc/sys/net of this host, or write it first when one is given."""
        path = Path("/proc/sys/net", *name.split("/"))
        with self.inside():
            if value is not None:
                path.write_text(str(value), encoding="ascii")
            return int(path.read_text(encoding="ascii"))
