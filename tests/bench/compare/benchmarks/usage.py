"""What processes use of the processors, and what they and the kernel use of memory."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")

# Sockets, what makes files of them, what waits for them, connections of netfilter, and small things
# without a kind of their own, such as what hangs on a connection.
_COUNTED = re.compile(
    r"(UDP|UDPv6|sock_inode_cache|filp|eventpoll_epi|eventpoll_pwq|ep_head|nf_conntrack.*"
    r"|kmalloc-(8|16|32|64|96|128|192|256))$"
)


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has used so far; 0 for one that has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return (int(fields[11]) + int(fields[12])) / _TICKS  # utime and stime, fields 14 and 15


def shares(
    before: Mapping[str, float], after: Mapping[str, float], seconds: float
) -> dict[str, float]:
    """Percent of one core that each has used between two looks.

    Args:
        before: Processor time by name, in seconds.
        after: The same, some time later.
        seconds: How much later.
    """
    return {name: 100 * (after[name] - before[name]) / seconds for name in before}


def process_bytes(pid: int) -> int:
    """The memory of a process, with its part of what it shares with others (PSS).

    Raises:
        ProcessLookupError: There is none.
    """
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None
    return 1024 * int(_found(r"^Pss:\s+(\d+) kB$", rollup))


def slab_bytes(listing: str) -> int:
    """What the kernel's objects of sockets, connections and files take, by /proc/slabinfo.

    Args:
        listing: Its text: in a line, the name, the objects in use, all objects, bytes of each.
    """
    rows = (line.split() for line in listing.splitlines()[2:])
    return sum(int(row[1]) * int(row[3]) for row in rows if _COUNTED.match(row[0]))


def map_bytes(pid: int, least_entries: int) -> int:
    """What the BPF hash maps of a process take for an entry, added up.

    Such a map takes its memory when it is made, for all entries that it will ever have.

    Args:
        pid: The process, which has them open.
        least_entries: The maps that have room for fewer are left out.
    """
    taken: dict[str, int] = {}
    for file in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            info = file.read_text(encoding="ascii")
            if "\nmap_type:\t1\n" not in info:  # BPF_MAP_TYPE_HASH
                continue
            entries = int(_found(r"^max_entries:\s+(\d+)$", info))
            if entries >= least_entries:
                number = _found(r"^map_id:\s+(\d+)$", info)
                taken[number] = int(_found(r"^memlock:\s+(\d+)$", info)) // entries
    return sum(taken.values())


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise LookupError(pattern)
    return found[1]
