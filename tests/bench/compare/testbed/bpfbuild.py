"""Compile and load BPF programs: a process that does this, hands them over and ends.

Compiling takes 200 MB of memory that BCC never gives back. The programs and maps are handed over
as file descriptors, through the socket whose descriptor is the first argument, so that nothing of
them outlives the process that uses them. The second one is a `Build` as JSON. What goes wrong is
printed on standard error.
"""

import importlib.util
import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from relay.dataplane.kernel import bpfload, bpfsys, headers
from relay.errors import DataplaneError
from tests.lab.errors import LabError

_MOST_FDS = 32
_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Build:
    """What to build.

    Attributes:
        directory: Where the sources are, and what they include.
        sources: The C files, which are one text to the compiler.
        xdp: The functions that are XDP programs.
        classifiers: Those that classify traffic.
        maps: The maps to hand over.
        defines: What the preprocessor is to define, as NAME=VALUE.
    """

    directory: str
    sources: Sequence[str]
    xdp: Sequence[str]
    classifiers: Sequence[str] = ()
    maps: Sequence[str] = ()
    defines: Sequence[str] = ()


def missing_bcc() -> str | None:
    """Why nothing can be built on this machine, with what to do about it; None if it can."""
    if importlib.util.find_spec("bcc") is None:
        return "BCC is not installed: apt-get install python3-bpfcc"
    return None


def built(build: Build) -> dict[str, int]:
    """Descriptors of the programs and maps by name, which are the caller's from then on.

    Raises:
        LabError: They cannot be built; the text says why and what to do.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-m", __name__, str(theirs.fileno()), json.dumps(asdict(build))]
        child = subprocess.run(
            command, check=False, pass_fds=[theirs.fileno()], capture_output=True, text=True
        )
        theirs.close()
        data, fds, _, _ = socket.recv_fds(ours, _MOST_BYTES, _MOST_FDS)
    if child.returncode != 0:
        raise LabError(child.stderr.strip().rpartition("\n")[2])
    return dict(zip(json.loads(data), fds, strict=True))


def _build(build: Build) -> dict[str, int]:
    """The descriptors, in the process that compiles.

    Raises:
        DataplaneError: BCC or kernel headers are missing, or the kernel refuses a program.
    """
    if reason := missing_bcc():
        raise DataplaneError(reason)
    from bcc import BPF  # not before it is known to be there

    headers.ensure()
    directory = Path(build.directory)
    text = "".join((directory / name).read_text(encoding="ascii") for name in build.sources)
    try:
        defines = [f"-D{each}" for each in build.defines]
        module: Any = BPF(text=text, cflags=[f"-I{directory}", *defines])
        made = {name: _load_xdp(module.dump_func(name.encode())) for name in build.xdp}
        made |= {
            name: module.load_func(name.encode(), BPF.SCHED_CLS).fd for name in build.classifiers
        }
        made |= {name: module[name.encode()].map_fd for name in build.maps}
    except Exception as error:  # noqa: BLE001  # bcc raises nothing more precise
        raise DataplaneError(f"The benchmark's programs cannot be built ({error}).") from None
    return made


def _load_xdp(instructions: bytes) -> int:
    """Load a program as Icelane's are, so that they can be called from it, which BCC's cannot."""
    kind, attach_type = bpfload.PROG_TYPE_XDP, bpfsys.ATTACH_TYPE_XDP
    return bpfload.program_load(instructions, kind, attach_type)


def main() -> int:
    """Build, and hand over what was built."""
    try:
        made = _build(Build(**json.loads(sys.argv[2])))
    except DataplaneError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        socket.send_fds(channel, [json.dumps(list(made)).encode()], list(made.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
