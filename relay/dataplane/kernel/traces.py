"""One trace of an instance at a time, and what is left of one that was killed.

While a client is followed (`relay.dataplane.kernel.tracing`), interfaces run another program in the
place of the one that is loaded, which ends in that one. Who follows holds a lock on the instance's
directory, which goes with its process; its pin of what its program ends in does not.
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.pins import Pins, lock_now
from relay.errors import DataplaneError

#: The program that interfaces run, and the one that tells of what no packet has come after.
PROGRAMS = TRACED, FLUSH = "relay_traced", "trace_flush"

_LOCKS = Path("/proc/locks")
_PATIENCE, _POLL = 1.0, 0.01  # seconds; who clears up holds the lock for milliseconds


def tails_of(pins: Pins) -> Path:
    """Where it is pinned what the program that traces ends in, or the kernel forgets it."""
    return pins.directory / "program-trace-tails"


@contextmanager
def only_trace(pins: Pins) -> Iterator[None]:
    """Be the only one that follows a client through an instance.

    Raises:
        DataplaneError: Somebody does already; the text says who.
        FileNotFoundError: The instance is not loaded.
    """
    fd = os.open(pins.directory, os.O_RDONLY | os.O_DIRECTORY)
    end = time.monotonic() + _PATIENCE
    try:
        while not lock_now(fd):
            if time.monotonic() > end:
                raise DataplaneError(
                    f"{pins.instance} is being traced already, by {_holder(fd)}: only one trace "
                    "runs at a time. Wait for its end, or end it."
                )
            time.sleep(_POLL)
        yield
    finally:
        os.close(fd)


def end_left(pins: Pins) -> None:
    """Let interfaces run the program again that is loaded, if one that traces was left behind.

    Nothing is lost meanwhile: that program looks at nothing any more, and ends in the other one.
    """
    if not tails_of(pins).exists():
        return
    with suppress(FileNotFoundError):
        fd = os.open(pins.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if lock_now(fd):
                restore(pins)
        finally:
            os.close(fd)


def restore(pins: Pins) -> None:
    """The same, for who holds the lock."""
    for path in pins.links().values():
        with suppress(FileNotFoundError):
            _restore_link(pins, path)
    tails_of(pins).unlink(missing_ok=True)


def replace(link: Path, program: int, old: int) -> bool:
    """Let an interface run a program in the place of another one; False when it runs none such."""
    with bpfsys.pinned(link) as fd:
        try:
            bpfsys.link_update(fd, program, old)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENOLINK):  # another program; no interface
                return False
            raise
    return True


def _restore_link(pins: Pins, path: Path) -> None:
    with bpfsys.pinned(path) as link:
        number = bpfsys.link_info(link).program_id
    with suppress(FileNotFoundError):  # it runs another one by now
        running = bpfsys.program_by_id(number)
        try:
            if bpfsys.program_name(running) != TRACED:
                return
            with bpfsys.pinned(pins.program) as program:
                replace(path, program, running)
        finally:
            os.close(running)


def _holder(fd: int) -> str:
    """Who holds the lock, for people."""
    found = os.fstat(fd)
    try:
        process = holder_in(_LOCKS.read_text(encoding="ascii"), found.st_dev, found.st_ino)
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        process, words = None, []
    if process is None:
        return "another process (perhaps in a container)"
    command = b" ".join(filter(None, words)).decode(errors="replace")
    return f"process {process} ({command})"


def holder_in(locks: str, device: int, inode: int) -> int | None:
    """Which process holds the lock (flock) of a file; None: none that is seen from here.

    Args:
        locks: What /proc/locks says (proc_locks(5)).
        device: The file's device.
        inode: Its number there.
    """
    place = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    for line in locks.splitlines():
        words = line.split()
        # A line with an arrow is of one who waits.
        if len(words) > 5 and words[1] == "FLOCK" and words[5] == place and int(words[4]) > 0:
            return int(words[4])
    return None
