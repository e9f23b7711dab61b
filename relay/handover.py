"""Hands what a command has read over to the processes that work with it.

What reads settings takes 20 MB (the command line and pydantic), and a process that serves has no
use for it. So the command checks them and gives the result to a process of its own, by a file in
memory: nothing is read twice, and no password stands in a command line that others can see.
"""

import os
import pickle
import sys
from typing import Any, NoReturn


def replace_this_process(module: str, value: object) -> NoReturn:
    """Become the process of another module, whose only argument is the descriptor for `take`.

    Args:
        module: Its dotted name. It is not imported here: the command has no use for it.
        value: What it takes.
    """
    fd = give(value)
    # -P: no module of the directory that this is run in, as root, takes a place.
    command = (sys.executable, "-P", "-m", module, str(fd))
    os.execv(command[0], command)  # noqa: S606  # no shell is wanted: the arguments are a list


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
