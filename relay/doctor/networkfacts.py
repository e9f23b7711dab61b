"""Looks at what this host does to packets and ports: see `relay.doctor.network`."""

import errno
import socket
import struct
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from relay import linux
from relay.dataplane.kernel import unseen
from relay.doctor.network import Network, Ports
from relay.run import firewall
from relay.run.droprules import Wanted

_SOCKETS = Path("/proc/thread-self/net")
_TABLES = {"udp": socket.AF_INET, "udp6": socket.AF_INET6}
_FORBIDDEN = (errno.EPERM, errno.EACCES)

T = TypeVar("T")


def network(user: int, needed: Sequence[str], wanted: Sequence[Wanted]) -> Network:
    """What this host does to packets, as far as this process may know.

    Args:
        user: As whom the relay's agent sends.
        needed: What must be let in, in nft's words.
        wanted: The same.
    """
    return Network(
        rules=_asked(unseen.rules),
        policies=_asked(unseen.policies),
        chains=_asked(unseen.chains),
        legacy=_asked(unseen.legacy_tables),
        firewall=firewall.warning(needed),
        user=user,
        dropped=firewall.dropped(wanted),
    )


def ports(wanted: Sequence[range], hosts: Collection[str], *, running: bool) -> Ports:
    """What the kernel does with ports.

    Args:
        wanted: The relay's.
        hosts: Its addresses; none for all of this host.
        running: Whether the relay itself runs, and has them.

    Raises:
        OSError: The kernel does not tell.
    """
    first, last = (linux.SYSCTL / "net/ipv4/ip_local_port_range").read_text("ascii").split()
    reserved = (linux.SYSCTL / "net/ipv4/ip_local_reserved_ports").read_text("ascii")
    taken = {
        port
        for host, port in ([] if running else udp_sockets())
        if any(port in each for each in wanted)
        and (not hosts or host in hosts or host in ("0.0.0.0", "::"))  # noqa: S104  # compared
    }
    return Ports((int(first), int(last)), tuple(_ranges(reserved)), tuple(sorted(taken)))


def udp_sockets() -> Iterator[tuple[str, int]]:
    """Where the UDP sockets of this network namespace are bound."""
    for name, family in _TABLES.items():
        path = _SOCKETS / name
        if not path.exists():  # a kernel without IPv6
            continue
        for line in path.read_text("ascii").splitlines()[1:]:
            address, _, port = line.split()[1].partition(":")
            words = struct.unpack(f">{len(address) // 8}I", bytes.fromhex(address))
            packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
            yield socket.inet_ntop(family, packed), int(port, 16)


def _ranges(text: str) -> Iterator[range]:
    """The ranges in a text such as ``1000-2000,3478``."""
    for each in filter(None, text.strip().split(",")):
        first, _, last = each.partition("-")
        yield range(int(first), int(last or first) + 1)


def _asked(ask: Callable[[], Iterable[T]]) -> list[T] | None:
    """What is told; None where this process may not know, nothing where the kernel has no such."""
    try:
        return list(ask())
    except OSError as error:
        return None if error.errno in _FORBIDDEN else []
