"""Ports for servers of tests, which no other socket takes between the choice and the bind."""

import itertools
import os
import socket

# Above the ports that a relay sends from, and those that Linux gives to sockets which ask for none:
# those of clients, which tests open by the hundred, come from there at any moment.
PORTS = range(61_000, 65_536)
_next = itertools.count(os.getpid() * 61)  # other processes of tests begin elsewhere


def free_port(host: str = "127.0.0.1") -> int:
    """A port of an address that nobody has, over UDP or TCP; at each call another one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in itertools.islice(_next, len(PORTS)):
        port = PORTS[number % len(PORTS)]
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                with socket.socket(family, kind) as probe:
                    probe.bind((host, port))
        except OSError:
            continue
        return port
    raise AssertionError(f"no port of {host} from {PORTS.start} to {PORTS.stop - 1} is free")
