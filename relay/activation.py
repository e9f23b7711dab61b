"""Listening sockets that a service manager holds for a service (sd_listen_fds(3)).

They outlive the process: whoever connects while it is started anew waits, and is not refused.
"""

import os
import socket
from collections.abc import Mapping, MutableMapping

from relay.wire.endpoint import Endpoint

_FIRST = 3  # their descriptors are this one and those that follow it


def passed(environment: MutableMapping[str, str], pid: int) -> dict[Endpoint, socket.socket]:
    """The TCP sockets that an environment tells of, by address; it no longer does from now on.

    Others are closed.

    Args:
        environment: The variables; those that concern them are removed.
        pid: This process, which alone they are for.
    """
    whose, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if whose != str(pid) or not count.isdecimal():
        return {}
    found = {}
    for fd in range(_FIRST, _FIRST + int(count)):
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        if sock.type is socket.SOCK_STREAM and sock.family in (socket.AF_INET, socket.AF_INET6):
            found[Endpoint.of(sock.getsockname())] = sock
        else:
            sock.close()
    return found


class Activation:
    """The sockets that this process was given.

    Args:
        environment: Tells of them; read when one is asked for, and only once.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._environment = environment
        self._left: dict[Endpoint, socket.socket] | None = None

    def take(self, address: Endpoint) -> socket.socket | None:
        """The one that listens on an address, which is the caller's then; None: there is none."""
        return self._all().pop(address, None)

    def left(self) -> Mapping[Endpoint, socket.socket]:
        """Those that nobody has taken."""
        return self._all()

    def _all(self) -> dict[Endpoint, socket.socket]:
        if self._left is None:
            self._left = passed(self._environment, os.getpid())
        return self._left


#: Those of this process.
ACTIVATION = Activation(os.environ)
