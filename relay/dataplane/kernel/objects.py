"""Where compiled objects are kept, and how a missing one is made.

An object is beside its sources (in a checkout, a wheel or an image), or, where that cannot be
written, in a directory that only root can write to: whoever can change an object decides what root
loads into the kernel, as with the sources.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from relay.dataplane.kernel import privileges
from relay.dataplane.kernel.bpfobject import BpfObject
from relay.dataplane.kernel.sources import current_key, source_directory
from relay.errors import DataplaneError

CACHE = Path("/var/cache/icelane")
NAME = "relay.bpf.json"
BUILD_LIMIT = 120.0  # seconds; it takes 1 to 2, and many times that where processors are emulated


@dataclass(frozen=True, slots=True)
class Found:
    """An object, and where it comes from.

    Attributes:
        object: The object.
        path: Where it is kept; None when it could not be.
        built_in: How long building it took just now, in seconds; None when it was there.
    """

    object: BpfObject
    path: Path | None
    built_in: float | None = None

    def __str__(self) -> str:
        """For people."""
        if self.built_in is None:
            return f"compiled before ({self.path})"
        kept = f"kept in {self.path}" if self.path else "not kept: no directory can be written"
        return f"compiled now in {self.built_in:.1f} s, {kept}"


def find_or_build() -> Found:
    """The object of the current sources; it is built and kept where there is none.

    Raises:
        DataplaneError: There is none, and it cannot be built; the text says why.
    """
    return find() or build()


def find() -> Found | None:
    """The object of the current sources, if it is kept somewhere."""
    key = current_key()
    for path in places(key):
        try:
            found = BpfObject.loads(path.read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError, DataplaneError):
            continue
        if found.key == key and _trusted(path):
            return Found(found, path)
    return None


def build() -> Found:
    """Build the object of the current sources, and keep it.

    Raises:
        DataplaneError: That is not possible; the text says why and what to do.
    """
    privileges.require(*privileges.BUILDING)
    started = time.monotonic()
    try:
        done = subprocess.run(
            # -P: no module of the directory that this is run in, as root, takes its place.
            [sys.executable, "-P", "-m", "relay.dataplane.kernel.build"],
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_LIMIT,
        )
    except subprocess.TimeoutExpired:
        raise DataplaneError(
            f"Compiling the BPF program took more than {BUILD_LIMIT:.0f} s, so it was stopped: "
            "this machine is too busy, or short of memory; `icelane relay build` tries again"
        ) from None
    if done.returncode != 0:
        raise DataplaneError("\n".join(done.stderr.strip().splitlines()[-12:]))
    built = BpfObject.loads(done.stdout)
    return Found(built, _keep(built), time.monotonic() - started)


def _keep(built: BpfObject) -> Path | None:
    """Write an object to the first place where that is possible, in one step."""
    for path in places(built.key):
        new = path.with_suffix(f".{os.getpid()}")
        try:
            if path.parent == CACHE:
                CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
            new.write_text(built.dumps(), encoding="ascii")
            new.rename(path)
        except OSError:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            continue
        return path
    return None


def places(key: bytes) -> Iterator[Path]:
    """Where the object with a key may be kept, the best place first."""
    yield source_directory() / NAME
    yield CACHE / f"{key.hex()[:32]}.{NAME}"


def _trusted(path: Path) -> bool:
    """Whether an object is of the same owner as the sources, or of root."""
    owner = path.stat().st_uid
    return owner in (0, os.geteuid(), source_directory().stat().st_uid)
