"""What is made once and kept: the base image, Python wheels, and a machine that is set up.

```
.vm/IMAGE KEY/disk.img             the base image: Debian, and nothing that Icelane needs
              vmlinuz, initrd.img  its kernel, started directly
              key, key.pub         who may log in
              setup-KEY.qcow2      an overlay, after `make setup-test` in the machine
              setup-KEY.unfinished while that is written to; if it is there at a start, it is no use
.vm/wheels-KEY/                    Python packages, fetched with this host's pip
```

Keys are hashes of what a thing is made from, so that nothing old is ever used.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vagrant import hostconfig
from vagrant.errors import MachineError
from vagrant.log import Log
from vagrant.qemu import Disk

HERE = Path(__file__).parent
CHECKOUT = HERE.parent
LOCK = CHECKOUT / ".ci" / "requirements.lock"
BUILD_SECONDS = 1800.0
FETCH_SECONDS = 900.0
COMMIT_SECONDS = 300.0
QUICK_SECONDS = 60.0

_PACKAGES = re.compile(r"^(?:BENCH_|TEST_)?PACKAGES :=.*$", re.MULTILINE)


def directory() -> Path:
    """Where all is kept: ICELANE_VM_CACHE, or `.vm` in the checkout."""
    return Path(os.environ.get("ICELANE_VM_CACHE") or CHECKOUT / ".vm").absolute()


def key(*parts: bytes) -> str:
    """A name for what is made from these parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:12]


def image_key() -> str:
    """The key of the base image: what builds it."""
    return key(*((HERE / name).read_bytes() for name in ("image.sh", "provision.sh")))


def setup_key(makefile: str, lock: bytes) -> str:
    """The key of a machine that is set up: the packages that set-up installs."""
    return key("\n".join(_PACKAGES.findall(makefile)).encode(), lock)


class Cache:
    """The cache; makes what is asked for and is not there.

    Args:
        log: Told what is made, and how long it took.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._image = directory() / image_key()
        packages = setup_key((CHECKOUT / "Makefile").read_text("utf-8"), LOCK.read_bytes())
        self._setup = self._image / f"setup-{packages}.qcow2"
        self._unfinished = self._setup.with_suffix(".unfinished")

    @property
    def image(self) -> Path:
        """The directory of the base image."""
        return self._image

    @property
    def ssh_key(self) -> Path:
        """The private key of the image's user."""
        return self._image / "key"

    @property
    def base(self) -> Path:
        """The base image."""
        return self._image / "disk.img"

    @property
    def is_set_up(self) -> bool:
        """Whether a machine is kept in which set-up has been."""
        return self._setup.exists() and not self._unfinished.exists()

    def build(self) -> None:
        """Build the base image, unless it is there.

        Raises:
            MachineError: A step failed.
        """
        if self.base.exists():
            return
        self._log("Building the base image, with debootstrap")
        started = self._log.seconds
        building = self._image.with_suffix(f".building-{os.getpid()}")
        _remove_others(building, "*.building-*")
        try:
            building.mkdir(parents=True)
            mirror = hostconfig.write_apt_files(building / "apt")
            _call(
                [
                    *("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "icelane-vm"),
                    *("-f", str(building / "key")),
                ],
                QUICK_SECONDS,
            )
            script = [HERE / "image.sh", building, mirror, building / "apt", building / "key.pub"]
            _call(map(str, script), BUILD_SECONDS)
            shutil.rmtree(self._image, ignore_errors=True)
            building.rename(self._image)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        _remove_others(self._image, "[0-9a-f]" * 12)
        size = self.base.stat().st_blocks * 512 / 1e6
        self._log(f"Built in {self._log.seconds - started:.0f} s; it takes {size:.0f} MB")

    def wheels(self) -> Path:
        """The directory of Python wheels that set-up needs, fetched as this host's pip does it.

        Raises:
            MachineError: They cannot be fetched.
        """
        wheels = directory() / f"wheels-{key(LOCK.read_bytes())}"
        if wheels.exists():
            return wheels
        self._log("Fetching Python packages")
        fetching = wheels.with_suffix(f".fetching-{os.getpid()}")
        try:
            _call(
                [
                    *(sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:"),
                    *("-r", str(LOCK), "-d", str(fetching)),
                ],
                FETCH_SECONDS,
            )
            fetching.rename(wheels)
        finally:
            shutil.rmtree(fetching, ignore_errors=True)
        _remove_others(wheels, "wheels-*")
        return wheels

    def overlay(self, *, bare: bool) -> Disk:
        """A disk to start from and to write to, which changes nothing that is kept.

        Args:
            bare: Whether it is the base image even where a machine is kept that is set up.
        """
        below, form = (self.base, "raw") if bare else (self._setup, "qcow2")
        overlay = self._image / f"run-{os.getpid()}.qcow2"
        _remove_others(overlay, "run-*.qcow2")  # left by runs that were killed
        _call(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", str(below), str(overlay)],
            QUICK_SECONDS,
        )
        return Disk(self._image / "vmlinuz", self._image / "initrd.img", overlay)

    def keep(self, disk: Disk, *, bare: bool) -> None:
        """Keep the disk of a machine that is set up and was powered off.

        Args:
            disk: What `overlay` made.
            bare: Whether it was made of the base image. Otherwise what is new in it goes into the
                disk that is kept already, such as packages that a new version needs.

        Raises:
            MachineError: That is not possible.
        """
        if bare:
            disk.image.rename(self._setup)
            _remove_others(self._setup, "setup-*.qcow2")
        else:
            self._unfinished.touch()
            _call(["qemu-img", "commit", "-q", str(disk.image)], COMMIT_SECONDS)
        self._unfinished.unlink(missing_ok=True)

    def drop(self, disk: Disk) -> None:
        """Remove a disk that `overlay` made, unless it was kept."""
        disk.image.unlink(missing_ok=True)


def _remove_others(kept: Path, pattern: str) -> None:
    """Remove what is beside `kept` and has another key."""
    for path in kept.parent.glob(pattern):
        if path != kept:
            with suppress(NotADirectoryError):
                shutil.rmtree(path)
                continue
            path.unlink()


def _call(command: Iterable[str], seconds: float) -> None:
    arguments = list(command)
    try:
        ran = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise MachineError(f"Not done after {seconds:.0f} s: {arguments[0]}") from None
    except FileNotFoundError:
        raise MachineError(f"{arguments[0]} is not installed: run `make vm-image`.") from None
    if ran.returncode != 0:
        last = "\n".join(f"  {line}" for line in ran.stdout.splitlines()[-12:])
        raise MachineError(f"{arguments[0]} failed with status {ran.returncode}:\n{last}")
