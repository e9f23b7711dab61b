"""What this host's processors do, by /proc/stat. Pure."""

from collections.abc import Mapping

# The columns of /proc/stat (proc(5)), in ticks of 10 ms: user, nice, system, idle, iowait, irq,
# softirq, steal.
_COLUMNS = ("user", "user", "system", "idle", "idle", "softirq", "softirq", "steal")
KINDS = ("user", "system", "softirq", "steal", "idle")


def parse(stat: str) -> dict[int, dict[str, int]]:
    """The time of each processor by kind, of the text of /proc/stat."""
    found = {}
    for line in stat.splitlines():
        name, *numbers = line.split()
        if name.startswith("cpu") and name[3:].isdigit():
            kinds = found[int(name[3:])] = dict.fromkeys(KINDS, 0)
            for kind, number in zip(_COLUMNS, numbers, strict=False):
                kinds[kind] += int(number)
    return found


def shares(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, float]:
    """The shares of a processor's time between two looks, by kind."""
    spent = {kind: max(0, now[kind] - before.get(kind, 0)) for kind in KINDS}
    whole = sum(spent.values()) or 1
    return {kind: ticks / whole for kind, ticks in spent.items()}
