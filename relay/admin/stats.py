"""Counters by reason and processor, and their rates between two looks; pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from relay.admin.catalogue import KERNEL_DROPS, KERNEL_FORWARDED

KERNEL, AGENT = "kernel", "agent"


class Count(NamedTuple):
    """A counter.

    Attributes:
        source: ``kernel`` or ``agent``: who counts.
        reason: Its name.
        total: Packets since that started; of some of the agent's, bytes or events.
        by_cpu: The same by processor; empty where that is not known.
    """

    source: str
    reason: str
    total: int
    by_cpu: tuple[int, ...] = ()

    @property
    def verdict(self) -> str:
        """What became of the kernel's packets: ``forward``, ``drop`` or ``pass``; else empty."""
        if self.source != KERNEL:
            return ""
        if self.reason in KERNEL_FORWARDED.values():
            return "forward"
        return "drop" if self.reason in KERNEL_DROPS else "pass"


class Stat(NamedTuple):
    """A counter with its rate since the look before; None where there was none."""

    counter: Count
    per_second: float | None = None

    def as_json(self) -> dict[str, Any]:
        """It for programs."""
        count = self.counter
        shown: dict[str, Any] = {
            "source": count.source,
            "reason": count.reason,
            "verdict": count.verdict or None,
            "total": count.total,
            "by_cpu": list(count.by_cpu) or None,
        }
        if self.per_second is not None:
            shown["per_second"] = round(self.per_second, 1)
        return shown

    def as_row(self, *, by_cpu: bool) -> dict[str, str]:
        """It for people."""
        count = self.counter
        row = {
            "source": count.source,
            "reason": count.reason,
            "verdict": count.verdict or "-",
            "total": f"{count.total:,}",
        }
        if self.per_second is not None:
            row["per second"] = f"{self.per_second:,.1f}"
        if by_cpu:
            row |= {f"cpu {cpu}": f"{number:,}" for cpu, number in enumerate(count.by_cpu)}
        return row


def kernel_counts(by_cpu: Sequence[Mapping[str, int]]) -> list[Count]:
    """The program's counters from those of each processor."""
    return [
        Count(KERNEL, reason, sum(parts), parts)
        for reason in (by_cpu[0] if by_cpu else ())
        for parts in [tuple(each[reason] for each in by_cpu)]
    ]


def agent_counts(counters: Mapping[str, int]) -> list[Count]:
    """The agent's counters."""
    return [Count(AGENT, reason, total) for reason, total in counters.items()]


def rated(before: Iterable[Count], after: Iterable[Count], seconds: float) -> list[Stat]:
    """Counters with their rates between two looks. One that began anew counts from 0."""
    totals = {(each.source, each.reason): each.total for each in before}
    stats = []
    for count in after:
        former = totals.get((count.source, count.reason), 0)
        grown = count.total - former if count.total >= former else count.total
        stats.append(Stat(count, grown / seconds))
    return stats
