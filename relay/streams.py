"""Standard output, wherever it leads: a terminal, a closed pipe, a full disk, any encoding."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from relay.errors import OutputError

PIPE_CLOSED = 141  # exit code: 128 and the number of SIGPIPE, as a shell tells it of other tools


@contextmanager
def usable_output() -> Iterator[None]:
    """Let everything be printed, and let a failure to print end the process in a sentence.

    What the encoding lacks is printed as a question mark. A reader that has seen enough (``head``)
    ends the process without a word.

    Raises:
        OutputError: What was printed cannot be written.
    """
    if type(sys.stdout) is io.TextIOWrapper:  # not what a test has put in its place
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_Descriptor(sys.stdout.fileno(), "wb", closefd=False)),
            encoding=sys.stdout.encoding,
            line_buffering=sys.stdout.line_buffering or sys.stdout.write_through,
        )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        if sys.stdout is not None:  # closed when the process started
            sys.stdout.flush()  # not when the interpreter ends, which would then complain itself


class _Descriptor(io.FileIO):
    """The descriptor below standard output; what cannot be written ends the process."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            # What is still buffered goes nowhere, now and when the interpreter ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if error.errno == errno.EPIPE:
                raise SystemExit(PIPE_CLOSED) from None
            raise OutputError(
                f"Standard output cannot be written ({error.strerror}): send it elsewhere."
            ) from None
