"""Where an instance's maps, program and links are pinned."""

import fcntl
import os
import re
import socket
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from relay import linux
from relay.dataplane.kernel import bpfsys, rtnetlink
from relay.dataplane.kernel.grace import GracePeriod
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.ticks import Ticks
from relay.errors import DataplaneError

BPFFS = Path("/sys/fs/bpf")
ROOT = BPFFS / "icelane"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LINK = "link-"
_PROGRAM = "program"
_STEER = "steer-"
_TRACEPOINT = "tracepoint-"
_NEW = "-new"
# Who loads holds the lock for a second or less, while the kernel verifies.
_LOCK_TIMEOUT, _LOCK_POLL = 30.0, 0.01  # seconds
_SEVERAL = 0  # the program of an interface that runs one in its network card, too


class Instance(Protocol):
    """An instance, also for those who may not open its pins. What the kernel refuses is OSError."""

    @property
    def instance(self) -> str:
        """Its name."""

    def opened(self, name: str) -> PinnedMap:
        """One of its maps, which the caller closes.

        Raises:
            DataplaneError: There is none, or it may not be opened.
        """

    def linked(self) -> dict[str, int]:
        """The interfaces that its links are attached to, with their indexes; 0: it is not there.

        It has gone then, or is in another network namespace. Who asks from another one than the
        instance's, and cannot see its interfaces, gets the numbers that the links tell.
        """

    def read_ticks(self) -> Ticks:
        """The clock by which its program notes when flows were seen."""

    def grace_period(self) -> GracePeriod:
        """What waits for the programs that run; the caller closes it."""


class Pins:
    """The directory of one instance in the BPF file system.

    Args:
        instance: The instance's name: 1 to 64 of A-Z a-z 0-9 _ -.

    Raises:
        DataplaneError: The name is none.
    """

    def __init__(self, instance: str) -> None:
        if not _NAME.fullmatch(instance):
            raise DataplaneError(
                f"{instance!r} is no instance name: use 1 to 64 of A-Z a-z 0-9 _ -"
            )
        self.instance = instance
        self.directory = ROOT / instance
        self.program = self.directory / _PROGRAM

    @property
    def pass_all(self) -> Path:
        """Where the program is pinned that passes everything up to the agent."""
        return self.directory / (_PROGRAM + "-pass-all")

    def running(self, *, on: bool) -> Path:
        """The program that interfaces run: the one that forwards, or the one that does not."""
        return self.program if on else self.pass_all

    @property
    def tails(self) -> Path:
        """Where the programs are pinned that the program ends in, or the kernel forgets them."""
        return self.directory / (_PROGRAM + "-tails")

    @property
    def ticks(self) -> Path:
        """Where the program is pinned that tells the scheduler's ticks."""
        return self.directory / (_PROGRAM + "-ticks")

    def map(self, name: str) -> Path:
        """Where a map is pinned."""
        return self.directory / name

    def opened(self, name: str) -> PinnedMap:
        """See `Instance.opened`."""
        return PinnedMap(self.map(name))

    def read_ticks(self) -> Ticks:
        """See `Instance.read_ticks`."""
        return Ticks.read(self.ticks)

    def grace_period(self) -> GracePeriod:
        """See `Instance.grace_period`."""
        return GracePeriod.make()

    def link(self, interface: str) -> Path:
        """Where an interface's link is pinned. The file system takes no dot, interfaces do."""
        return self.directory / (_LINK + interface.replace(".", ":"))

    def links(self) -> dict[str, Path]:
        """The pinned links, by interface."""
        return {
            path.name.removeprefix(_LINK).replace(":", "."): path
            for path in self._entries()
            if path.name.startswith(_LINK)
        }

    def linked(self) -> dict[str, int]:
        """See `Instance.linked`."""
        before = self._link_infos()
        if not before or self.netns() != linux.netns_inode():
            return {name: info.ifindex for name, info in before.items()}
        running = {link.index: link.program.id for link in rtnetlink.links() if link.program}
        # Once more, as the program may be replaced meanwhile: an interface may have run either.
        after = self._link_infos()
        ours = {info.program_id for info in (*before.values(), *after.values())} | {_SEVERAL}
        theirs = {index for index, program in running.items() if program in ours}
        return _told_apart({name: info.ifindex for name, info in after.items()}, theirs)

    def netns(self) -> int:
        """The inode number of the instance's network namespace; 0 for none, or one that has gone.

        Told by what steers: that is attached to one namespace, and never moves.
        """
        if not self.steer_link.exists():
            return 0
        with bpfsys.pinned(self.steer_link) as link:
            return bpfsys.link_netns(link)

    def _link_infos(self) -> dict[str, bpfsys.LinkInfo]:
        found = {}
        for interface, path in self.links().items():
            with suppress(FileNotFoundError), bpfsys.pinned(path) as fd:  # it is renamed just now
                found[interface] = bpfsys.link_info(fd)
        return found

    def maps(self) -> list[str]:
        """The names of the pinned maps, of those that can be read: sockets cannot."""
        return [
            path.name
            for path in self._entries()
            if not path.name.startswith((_LINK, _PROGRAM, _STEER, _TRACEPOINT))
        ]

    def loaded(self) -> bool:
        """Whether the program is pinned."""
        return self.program.exists()

    @property
    def steer_sockets(self) -> Path:
        """Where the map of the agent's sockets is pinned."""
        return self.directory / (_STEER + "sockets")

    @property
    def steer_link(self) -> Path:
        """Where the link of the steering program to its network namespace is pinned."""
        return self.directory / (_STEER + "link")

    def tracepoint(self, name: str) -> Path:
        """Where the link of a program to a tracepoint is pinned."""
        return self.directory / (_TRACEPOINT + name)

    def replace(self, path: Path, fd: int) -> None:
        """Pin an object in the place of the one that is pinned there, if any, in one step."""
        new = path.with_name(path.name + _NEW)
        new.unlink(missing_ok=True)
        bpfsys.obj_pin(fd, new)
        new.rename(path)

    def remove(self) -> None:
        """Remove every pin: links first, so that no packet meets a program without its maps."""
        for path in (*self.links().values(), self.steer_link):
            detach(path)
        for path in self._entries():
            try:
                path.unlink(missing_ok=True)
            except IsADirectoryError:
                raise DataplaneError(
                    f"{path} is a directory of somebody else: remove it, and then try again."
                ) from None
        if self.directory.exists():
            self.directory.rmdir()

    def _entries(self) -> list[Path]:
        try:
            return sorted(self.directory.iterdir())
        except FileNotFoundError:
            return []
        except PermissionError:
            raise DataplaneError(f"Reading {self.directory} needs root.") from None


def _told_apart(numbers: Mapping[str, int], running: Collection[int]) -> dict[str, int]:
    """The numbers of links whose interfaces are here, and 0 for the others.

    A link goes with its interface to another network namespace, and tells the number of there. It
    may be an interface's here that runs the program, too: then that is its own link's, of the name
    that it has.

    Args:
        numbers: What the links tell, by the names of their pins.
        running: The interfaces here that run the program.
    """
    here: dict[int, str] = {}
    names = dict(socket.if_nameindex())
    for name, index in numbers.items():
        if index in running and (index not in here or names.get(index) == name):
            here[index] = name
    return {name: index if here.get(index) == name else 0 for name, index in numbers.items()}


def detach(link: Path, *, forget: bool = True) -> None:
    """Detach a pinned link, and remove its pin if it is to be forgotten; no link is fine.

    The kernel would detach it by itself after the pin has gone, but some time later: whoever looks
    at the interface meanwhile, or attaches another program, would still meet this one.
    """
    if not link.exists():
        return
    with bpfsys.pinned(link) as fd:
        bpfsys.link_detach(fd)
    if forget:
        link.unlink(missing_ok=True)


@contextmanager
def locked() -> Iterator[None]:
    """Let nobody else change what is attached meanwhile.

    Raises:
        DataplaneError: Somebody else takes too long.
    """
    ROOT.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY)
    deadline = time.monotonic() + _LOCK_TIMEOUT
    try:
        while not lock_now(fd):
            if time.monotonic() > deadline:
                raise DataplaneError(
                    f"Another process has been loading or changing an instance for "
                    f"{_LOCK_TIMEOUT:.0f} s: see what hangs with `fuser -v {ROOT}`, and end it."
                )
            time.sleep(_LOCK_POLL)
        yield
    finally:
        os.close(fd)


def lock_now(fd: int) -> bool:
    """Lock a file for this process alone; False: another one has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def instances() -> list[str]:
    """The names of the instances that are loaded."""
    try:
        return sorted(path.name for path in ROOT.iterdir() if Pins(path.name).loaded())
    except FileNotFoundError:
        return []
    except PermissionError:
        raise DataplaneError(f"Reading {ROOT} needs root.") from None


def table_id(pins: Pins) -> int | None:
    """The kernel's number of an instance's table of flows; None where it is not loaded.

    Another one is there when the instance was unloaded and loaded again, and never otherwise.
    """
    try:
        with bpfsys.pinned(pins.map("flow_records")) as table:
            return bpfsys.map_info(table).id if pins.loaded() else None
    except FileNotFoundError:
        return None
