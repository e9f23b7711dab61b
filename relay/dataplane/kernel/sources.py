"""The program's C sources, and what an object that was built from them is called."""

from collections.abc import Mapping
from pathlib import Path

from relay.dataplane.kernel.bpfobject import source_key
from relay.errors import DataplaneError

MAIN = (
    "flows.bpf.c",
    "relay.bpf.c",
    "common.bpf.c",
    "triage.bpf.c",
    "request.bpf.c",
    "forward.bpf.c",
    "steer.bpf.c",
    "losses.bpf.c",
    "trace.bpf.c",
)  # compiled as one: they share maps


def source_directory() -> Path:
    """Where the C files are: in a wheel beside this module, in a checkout at the top."""
    here = Path(__file__).resolve().parent
    for directory in (here / "bpf", here.parents[2] / "bpf"):
        if (directory / MAIN[0]).exists():
            return directory
    raise DataplaneError("The BPF program's source is missing: this installation is incomplete.")


def sources() -> Mapping[str, bytes]:
    """All C files by name."""
    return {path.name: path.read_bytes() for path in source_directory().glob("*.[ch]")}


def current_key() -> bytes:
    """The key of an object of these sources."""
    return source_key(sources())
