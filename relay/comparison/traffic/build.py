"""Compile and load the programs: a process that does this, hands them over and ends.

Compiling takes 200 MB of memory that BCC never gives back. The programs and maps are handed over
as file descriptors, through the socket whose descriptor is the only argument, so that nothing of
them outlives the process that uses them. What goes wrong is said on standard error.
"""

import json
import socket
import sys
from pathlib import Path
from typing import Any

from relay.dataplane import headers
from relay.dataplane.base import DataplaneError

SOURCES = ("sender.bpf.c", "sink.bpf.c")
XDP_PROGRAMS = ("send_frame", "near_end", "far_end")
CLASSIFIERS = ("send_burst",)
MAPS = ("legs", "plans", "progresses", "watches", "tallies", "histograms")


def build() -> dict[str, int]:
    """The descriptors of programs and maps, by name.

    Raises:
        DataplaneError: BCC or kernel headers are missing, or the kernel refuses a program.
    """
    headers.provide()
    try:
        from bcc import BPF  # noqa: PLC0415  # to say in plain words that it is missing
    except ImportError:
        raise DataplaneError(
            "BCC is missing, which the benchmark's traffic is made with: "
            "apt-get install python3-bpfcc"
        ) from None
    directory = Path(__file__).resolve().parent
    text = "".join((directory / name).read_text(encoding="ascii") for name in SOURCES)
    try:
        module: Any = BPF(text=text, cflags=[f"-I{directory}"])
        made = {name: module.load_func(name.encode(), BPF.XDP).fd for name in XDP_PROGRAMS}
        made |= {name: module.load_func(name.encode(), BPF.SCHED_CLS).fd for name in CLASSIFIERS}
        made |= {name: module[name.encode()].map_fd for name in MAPS}
    except Exception as error:  # noqa: BLE001  # bcc raises nothing more precise
        raise DataplaneError(f"The benchmark's traffic cannot be built ({error}).") from None
    return made


def main() -> int:
    """Build, and hand over what was built."""
    try:
        made = build()
    except DataplaneError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        socket.send_fds(channel, [json.dumps(list(made)).encode()], list(made.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
