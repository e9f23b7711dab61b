"""Hands a relay's settings over to the processes that run it.

What reads settings takes 20 MB (the command line and pydantic), and a relay that serves has no use
for it. So the command checks them and gives the result to a process of its own, by a file in
memory: nothing is read twice, and no password stands in a command line that others can see.
"""

import os
import pickle
from typing import Any


def give(value: object) -> int:
    """Put a value into a file in memory.

    Returns:
        Its descriptor, which child processes inherit; the caller closes it.
    """
    fd = os.memfd_create("icelane-settings", 0)
    os.write(fd, pickle.dumps(value))
    return fd


def take(fd: int) -> Any:
    """The value in such a file; others may take it, too."""
    # From its start, wherever others that share the descriptor have read to.
    return pickle.loads(os.pread(fd, os.fstat(fd).st_size, 0))  # noqa: S301  # from our own command, by inheritance
