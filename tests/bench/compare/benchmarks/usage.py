"""What processes use of the processors, and what they and the kernel use of memory."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from relay.dataplane.kernel.flowindex import FILL
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins, instances
from relay.errors import DataplaneError

_TICKS = os.sysconf("SC_CLK_TCK")

# Sockets, what makes files of them, what waits for them, connections of netfilter, and small things
# without a kind of their own, such as what hangs on a connection.
_COUNTED = re.compile(
    r"(UDP|UDPv6|sock_inode_cache|filp|eventpoll_epi|eventpoll_pwq|ep_head|nf_conntrack.*"
    r"|kmalloc-(8|16|32|64|96|128|192|256))$"
)

# Icelane's maps of flows, and for how many flows an entry of each is.
_FLOWS_OF_ENTRY = {"flow_records": 1, "flow_routes": 1, "flow_index": FILL}


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


def map_bytes(pid: int) -> float:
    """What the BPF maps of a process take for a flow.

    Such a map takes its memory when it is made, for all flows that it will ever have.

    Args:
        pid: The process, which has them open, or none.
    """
    taken: dict[int, int] = {}
    for file in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(FileNotFoundError, LookupError):  # closed meanwhile, or no map
            info = file.read_text(encoding="ascii")
            number = int(_found(r"^map_id:\s+(\d+)$", info))
            taken[number] = int(_found(r"^memlock:\s+(\d+)$", info))
    total = 0.0
    for instance in instances():
        pins = Pins(instance)
        for name, flows_of_entry in _FLOWS_OF_ENTRY.items():
            with suppress(DataplaneError), PinnedMap(pins.map(name)) as opened:  # another version
                room = opened.info.max_entries * flows_of_entry
                total += taken.get(opened.info.id, 0) / room
    return total


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise LookupError(pattern)
    return found[1]
