"""Hands a relay's settings over to the processes that run it.

What reads settings takes 20 MB (the command line and pydantic), and a relay that serves has no use
for it. So the command checks them and gives the result to a process of its own, by a file in
memory: nothing is read twice, and no password stands in a command line that others can see.
"""

import os
import pickle
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from relay.run.config import RelayConfig

PROCESS = "relay.run.process"  # not imported here: the command has no use for it


def replace_this_process(config: "RelayConfig", *, verbose: bool) -> NoReturn:
    """Become the process of a relay.

    Args:
        config: The relay's settings.
        verbose: Whether it logs more.
    """
    fd = give((config, verbose))
    # -P: no module of the directory that this is run in, as root, takes the relay's place.
    command = (sys.executable, "-P", "-m", PROCESS, str(fd))
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
