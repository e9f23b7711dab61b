"""Compile and load the ceiling's program: a process that does this, hands it over and ends.

Compiling takes 200 MB of memory that BCC never gives back. The program goes through the socket
whose descriptor is the only argument; what goes wrong is said on standard error.
"""

import socket
import sys
from pathlib import Path

from relay.dataplane import headers
from relay.dataplane.base import DataplaneError

_SOURCE = Path(__file__).with_name("ceiling.bpf.c")


def build() -> int:
    """The program's descriptor.

    Raises:
        DataplaneError: BCC or kernel headers are missing, or the kernel refuses the program.
    """
    headers.provide()
    from bcc import BPF  # noqa: PLC0415  # it finds the headers that were just provided

    try:
        module = BPF(text=_SOURCE.read_text(encoding="ascii"))
        return int(module.load_func(b"ceiling", BPF.XDP).fd)
    except Exception as error:  # noqa: BLE001  # bcc raises nothing more precise
        raise DataplaneError(f"The ceiling's program cannot be built ({error}).") from None


def main() -> int:
    """Build, and hand over what was built."""
    try:
        program = build()
    except DataplaneError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        socket.send_fds(channel, [b"ceiling"], [program])
    return 0


if __name__ == "__main__":
    sys.exit(main())
