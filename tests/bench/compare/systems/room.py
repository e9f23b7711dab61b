"""How many flows a system can have that opens a socket for each."""

import resource

_PORTS = 50_000  # of one upstream address, as testbeds have it
_OTHER_FILES = 1_000


def most_sockets() -> int:
    """As many as one upstream address has ports, and as a process may open files."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _PORTS if files == resource.RLIM_INFINITY else min(_PORTS, files - _OTHER_FILES)
